#include "common/config/command_line.h"

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

ABSL_FLAG(std::string, test_path, "/default", "Where the test puts things.");
ABSL_FLAG(int, test_port, 80, "A port.");
ABSL_FLAG(bool, test_log, true, "Whether to log.");
ABSL_FLAG(absl::Duration, test_timeout, absl::Seconds(2), "How long.");
ABSL_FLAG(std::vector<std::string>, test_list, {}, "Some names.");

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CommandLineTest : public ::testing::Test {
 protected:
  absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& args,
                                    const std::string& arguments = "") {
    return ParseCommandLine(args, ProgramInfo{"test-program", "Tests.", arguments});
  }
  std::string Config(absl::string_view text) {
    std::string path = absl::StrCat(::testing::TempDir(), "/command_line_test.json");
    EXPECT_THAT(WriteFileAtomically(path, text, 0600), IsOk());
    return absl::StrCat("--config=", path);
  }
  absl::FlagSaver saver_;
};

TEST_F(CommandLineTest, TakesEveryFormOfAFlag) {
  ASSERT_THAT(Parse({"--test_path=/a=b", "--test_port", "81", "--notest_log", "--test_timeout=5s",
                     "--test_list=a,b"}),
              IsOk());
  EXPECT_EQ(absl::GetFlag(FLAGS_test_path), "/a=b");
  EXPECT_EQ(absl::GetFlag(FLAGS_test_port), 81);
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_log));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_timeout), absl::Seconds(5));
  EXPECT_THAT(absl::GetFlag(FLAGS_test_list), ElementsAre("a", "b"));
  ASSERT_THAT(Parse({"--test_log"}), IsOk());
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_log));
  ASSERT_THAT(Parse({"--test_log=false"}), IsOk());
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_log));
}

TEST_F(CommandLineTest, NamesAnUnknownFlagAndTheRemedy) {
  for (const char* arg : {"--nothing", "--nothing=1", "--notest_port", "--flagfile=/x", "-x",
                          "--undefok=nothing", "--notest_log=true"}) {
    EXPECT_THAT(Parse({arg}), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("; run test-program --help for the list")))
        << arg;
  }
}

TEST_F(CommandLineTest, NamesABadValue) {
  EXPECT_THAT(Parse({"--test_port=http"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("flag --test_port cannot be \"http\"")));
  EXPECT_THAT(Parse({"--test_path"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs a value")));
}

TEST_F(CommandLineTest, ReturnsArgumentsWhereThereMayBeSome) {
  ASSERT_OK_AND_ASSIGN(CommandLine line,
                       Parse({"token", "--test_port=1", "create", "--", "--x"}, "COMMAND"));
  EXPECT_THAT(line.arguments, ElementsAre("token", "create", "--x"));
  EXPECT_THAT(Parse({"token"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("unexpected argument \"token\"")));
}

TEST_F(CommandLineTest, ReadsTheConfigFileAndLetsTheCommandLineWin) {
  const std::string config = Config(
      R"({"test_path":"/c","test_port":7,"test_log":false,"test_timeout":"1m","test_list":["x","y"]})");
  ASSERT_THAT(Parse({"--test_port=9", config}), IsOk());
  EXPECT_EQ(absl::GetFlag(FLAGS_test_path), "/c");
  EXPECT_EQ(absl::GetFlag(FLAGS_test_port), 9);
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_log));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_timeout), absl::Minutes(1));
  EXPECT_THAT(absl::GetFlag(FLAGS_test_list), ElementsAre("x", "y"));
}

TEST_F(CommandLineTest, RefusesAWrongConfigFileNamingIt) {
  for (const char* text : {"[]", "{", R"({"nothing":1})", R"({"test_port":"7"})",
                           R"({"test_path":7})", R"({"test_log":"true"})", R"({"config":"x"})",
                           R"({"test_port":99999999999})", R"({"test_list":"a"})"}) {
    EXPECT_THAT(Parse({Config(text)}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("command_line_test.json: ")))
        << text;
  }
  EXPECT_THAT(Parse({"--config=/none/file.json"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none/file.json")));
}

TEST_F(CommandLineTest, PrintsHelpForItsOwnFlagsOnly) {
  ASSERT_OK_AND_ASSIGN(CommandLine line, Parse({"--help"}));
  EXPECT_THAT(line.print_and_exit, HasSubstr("Usage: test-program [flags]\n"));
  EXPECT_THAT(line.print_and_exit, HasSubstr("  --test_port=80\n      A port.\n"));
  EXPECT_THAT(line.print_and_exit, Not(HasSubstr("flagfile")));
  ASSERT_OK_AND_ASSIGN(line, Parse({"--version"}));
  EXPECT_EQ(line.print_and_exit, "test-program 0.1.0\n");
}

TEST_F(CommandLineTest, FormatsAnErrorAsOneLine) {
  EXPECT_EQ(FormatError("test-program", absl::NotFoundError("no\nfile\n")),
            "test-program: error: no file");
}

TEST(CommandLineDeathTest, ExitsWithTwoAndOneLine) {
  EXPECT_EXIT(ExitWithError("test-program", absl::NotFoundError("no file")),
              ::testing::ExitedWithCode(2), "^test-program: error: no file\n$");
}

}  // namespace
}  // namespace byrnie
