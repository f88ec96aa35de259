#include "common/telemetry/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// A pipe whose reader does not block, so that a test can read what has been written so far.
class LogPipe {
 public:
  LogPipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    reader_.reset(fds[0]);
    writer_.reset(fds[1]);
    EXPECT_EQ(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
  }

  int fd() const { return writer_.get(); }
  void CloseReader() { reader_.reset(); }

  std::string ReadAll() {
    std::string text;
    char buffer[4096];
    ssize_t count;
    while ((count = read(reader_.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, count);
    return text;
  }

 private:
  UniqueFd reader_;
  UniqueFd writer_;
};

constexpr char kTime[] = "[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z";

TEST(LogTest, LevelsParseByTheirNamesOnly) {
  for (const LogLevel level :
       {LogLevel::kError, LogLevel::kWarning, LogLevel::kInfo, LogLevel::kDebug}) {
    EXPECT_THAT(ParseLogLevel(LogLevelName(level)), IsOkAndHolds(level));
  }
  EXPECT_THAT(ParseLogLevel("INFO"), StatusIs(absl::StatusCode::kInvalidArgument,
                                              HasSubstr("error, warning, info, debug")));
  EXPECT_THAT(ParseLogLevel(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LogTest, WritesOneJsonObjectPerLine) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kJson, LogLevel::kInfo);
  logger.Info("tunnel open",
              {{"peer", "spiffe://a/b"}, {"bytes", 7}, {"reused", true}, {"seconds", 0.25}});
  EXPECT_THAT(pipe.ReadAll(),
              MatchesRegex(absl::StrCat("\\{\"time\":\"", kTime,
                                        "\",\"level\":\"info\",\"message\":\"tunnel open\","
                                        "\"peer\":\"spiffe://a/b\",\"bytes\":7,\"reused\":true,"
                                        "\"seconds\":0.25\\}\n")));
}

TEST(LogTest, WritesTextWithQuotesOnlyWhereNeeded) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  logger.Warning("link lost", {{"path", "/run/link"}, {"error", "no such file"}, {"empty", ""}});
  EXPECT_THAT(pipe.ReadAll(), MatchesRegex(absl::StrCat(kTime,
                                                        " warning link lost path=/run/link "
                                                        "error=\"no such file\" empty=\"\"\n")));
}

TEST(LogTest, NoValueEndsALineOrSpeaksToTheTerminal) {
  for (const Logger::Format format : {Logger::Format::kText, Logger::Format::kJson}) {
    LogPipe pipe;
    Logger logger(pipe.fd(), format, LogLevel::kInfo);
    logger.Info("a\nb", {{"value", "x\ny\x1b[2J\xFF\"=z"}});
    const std::string text = pipe.ReadAll();
    EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    EXPECT_EQ(text.find('\xFF'), std::string::npos) << text;
    EXPECT_THAT(text, HasSubstr("x\\ny\\u001b[2J\xEF\xBF\xBD\\\"=z"));
  }
}

TEST(LogTest, CutsLongValues) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kJson, LogLevel::kInfo);
  logger.Info("long", {{"value", std::string(100000, 'x')}});
  const std::string text = pipe.ReadAll();
  EXPECT_THAT(text, HasSubstr(std::string(Logger::kMaxValueSize, 'x') + "...\"}"));
  EXPECT_LT(text.size(), Logger::kMaxValueSize + 200);
}

TEST(LogTest, LevelChangesAtRunTime) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kWarning);
  logger.Info("hidden");
  EXPECT_FALSE(logger.enabled(LogLevel::kInfo));
  EXPECT_EQ(pipe.ReadAll(), "");
  logger.set_level(LogLevel::kDebug);
  logger.Debug("shown");
  EXPECT_THAT(pipe.ReadAll(), HasSubstr("debug   shown\n"));
  logger.set_level(LogLevel::kError);
  logger.Warning("hidden again");
  logger.Error("kept");
  EXPECT_THAT(pipe.ReadAll(), HasSubstr("error   kept\n"));
}

TEST(LogTest, RawLinesIgnoreTheLevel) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kError);
  logger.WriteRaw("{\"log\":\"access\"}");
  EXPECT_EQ(pipe.ReadAll(), "{\"log\":\"access\"}\n");
}

TEST(LogTest, DropsAndCountsInsteadOfBlockingOnASlowReader) {
  LogPipe pipe;  // The writing side is blocking, as stderr usually is.
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  const std::string line(1000, 'x');
  for (int i = 0; i < 1000; ++i) logger.WriteRaw(line);  // Far more than a pipe holds.
  EXPECT_GT(logger.dropped_lines(), 0u);
  const std::vector<std::string> lines = absl::StrSplit(pipe.ReadAll(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size() + logger.dropped_lines(), 1000u);
  for (const std::string& got : lines) EXPECT_EQ(got, line);
  logger.WriteRaw("after");
  EXPECT_EQ(pipe.ReadAll(), "after\n");
}

TEST(LogTest, ALineLongerThanTheRoomLeftDoesNotBlock) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  logger.WriteRaw(std::string(1 << 20, 'x'));  // A pipe takes 64 KiB; nobody reads.
  EXPECT_EQ(logger.dropped_lines(), 1u);
  EXPECT_GT(pipe.ReadAll().size(), 0u);
  logger.WriteRaw(std::string(10000, 'y'));
  EXPECT_EQ(pipe.ReadAll(), "\n" + std::string(10000, 'y') + "\n");
}

TEST(LogTest, ALineCutByTheKernelDoesNotSpoilTheNextOne) {
  LogPipe pipe;
  ASSERT_EQ(fcntl(pipe.fd(), F_SETFL, O_NONBLOCK), 0);
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  logger.WriteRaw(std::string(1 << 20, 'x'));
  EXPECT_EQ(logger.dropped_lines(), 1u);
  pipe.ReadAll();
  logger.WriteRaw("whole");
  EXPECT_EQ(pipe.ReadAll(), "\nwhole\n");
  logger.WriteRaw("next");
  EXPECT_EQ(pipe.ReadAll(), "next\n");
}

TEST(LogTest, SurvivesAReaderThatIsGone) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  pipe.CloseReader();
  logger.Info("nobody listens");  // Would raise SIGPIPE.
  EXPECT_EQ(logger.dropped_lines(), 1u);
}

TEST(LogTest, LinesOfManyThreadsStayWhole) {
  LogPipe pipe;
  Logger logger(pipe.fd(), Logger::Format::kText, LogLevel::kInfo);
  constexpr int kThreads = 4;
  constexpr int kLines = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&logger, t] {
      for (int i = 0; i < kLines; ++i) {
        logger.WriteRaw(std::string(100, static_cast<char>('a' + t)));
        logger.set_level(i % 2 == 0 ? LogLevel::kInfo : LogLevel::kError);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = absl::StrSplit(pipe.ReadAll(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), static_cast<size_t>(kThreads * kLines));
  for (const std::string& line : lines) EXPECT_EQ(line, std::string(100, line[0]));
}

}  // namespace
}  // namespace byrnie
