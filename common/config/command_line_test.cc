#include "common/config/command_line.h"

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

ABSL_FLAG(int, size, 7, "Size of the thing, 1 to 10.");
ABSL_FLAG(bool, fast, false, "Whether it is fast.");
ABSL_FLAG(bool, safe, true, "Whether it is safe.");
ABSL_FLAG(std::string, place, "here", "Where.");
ABSL_FLAG(std::vector<std::string>, names, {}, "Names.");
ABSL_FLAG(absl::Duration, wait, absl::Seconds(3), "How long to wait.");
ABSL_FLAG(bool, dry_run, false, "Whether nothing is done.");

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CommandLineTest : public ::testing::Test {
 protected:
  absl::StatusOr<CommandLine> Parse(const std::vector<const char*>& args) {
    return ParseCommandLine(args);
  }
  std::string ConfigFile(absl::string_view content) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/config.json");
    EXPECT_THAT(WriteFileAtomically(path, content, 0600), IsOk());
    return absl::StrCat("--config=", path);
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(CommandLineTest, TakesEveryFormOfAFlag) {
  ASSERT_OK_AND_ASSIGN(const CommandLine line,
                       Parse({"apply", "--size=9", "--place", "there", "--fast", "--nosafe",
                              "--wait=1500ms", "--names=a,b", "--", "--size=1"}));
  EXPECT_THAT(line.positional, ElementsAre("apply", "--size=1"));
  EXPECT_EQ(absl::GetFlag(FLAGS_size), 9);
  EXPECT_EQ(absl::GetFlag(FLAGS_place), "there");
  EXPECT_TRUE(absl::GetFlag(FLAGS_fast));
  EXPECT_FALSE(absl::GetFlag(FLAGS_safe));
  EXPECT_EQ(absl::GetFlag(FLAGS_wait), absl::Milliseconds(1500));
  EXPECT_THAT(absl::GetFlag(FLAGS_names), ElementsAre("a", "b"));
}

TEST_F(CommandLineTest, TakesDashesForUnderscores) {
  ASSERT_OK_AND_ASSIGN(const CommandLine line, Parse({"--dry-run"}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_dry_run));
  EXPECT_THAT(line.given, ElementsAre("dry_run"));
  EXPECT_THAT(Parse({"--no-dry-run"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"--no-dry-run\"")));
  EXPECT_THAT(Parse({"--dry-run", "--dry_run"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("given twice")));
}

TEST_F(CommandLineTest, NamesTheFlagItDoesNotKnow) {
  EXPECT_THAT(Parse({"--sise=9"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"--sise\"")));
  EXPECT_THAT(Parse({"--noplace"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"--noplace\"")));
}

TEST_F(CommandLineTest, NamesTheUnitsOfADuration) {
  EXPECT_THAT(Parse({"--wait=400d"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                               HasSubstr("a duration has units, h, m, s or ms")));
  EXPECT_THAT(Parse({"--size=big"}),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("duration"))));
}

TEST_F(CommandLineTest, NamesTheValueAFlagDoesNotTake) {
  EXPECT_THAT(Parse({"--size=big"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                              HasSubstr("bad value \"big\" for --size")));
  EXPECT_THAT(Parse({"--size"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--size needs a value")));
  EXPECT_THAT(Parse({"--size=1", "--size=2"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("given twice")));
}

TEST_F(CommandLineTest, AListMayBeGivenItemByItem) {
  ASSERT_OK_AND_ASSIGN(const CommandLine line, Parse({"--names=a,b", "--names", "c"}));
  EXPECT_THAT(line.given, ElementsAre("names"));
  EXPECT_THAT(absl::GetFlag(FLAGS_names), ElementsAre("a", "b", "c"));
}

TEST_F(CommandLineTest, HelpAndVersionWinOverTheRest) {
  ASSERT_OK_AND_ASSIGN(const CommandLine help, Parse({"--help", "--nonsense"}));
  EXPECT_EQ(help.action, CommandLine::Action::kShowHelp);
  ASSERT_OK_AND_ASSIGN(const CommandLine version, Parse({"--version"}));
  EXPECT_EQ(version.action, CommandLine::Action::kShowVersion);
}

TEST_F(CommandLineTest, HelpListsOurFlagsOnly) {
  const std::string help = HelpText({"byrnie-thing", "Does a thing."});
  EXPECT_THAT(help, HasSubstr("Does a thing."));
  EXPECT_THAT(help, HasSubstr("--size=7\n      Size of the thing, 1 to 10."));
  EXPECT_THAT(help, HasSubstr("--wait=3s"));
  EXPECT_THAT(help, Not(HasSubstr("flagfile")));
  EXPECT_THAT(help, Not(HasSubstr("undefok")));
}

TEST_F(CommandLineTest, HelpShowsHowArgumentsAreUsedWhereThereAreAny) {
  EXPECT_THAT(HelpText({"byrnie-thing", "Does a thing.", "apply|remove"}),
              HasSubstr("Usage: byrnie-thing [flags] apply|remove\n"));
  EXPECT_THAT(HelpText({"byrnie-thing", "Does a thing."}), Not(HasSubstr("Usage:")));
}

TEST_F(CommandLineTest, ConfigFileSetsFlagsAndTheCommandLineWins) {
  const std::string config = ConfigFile(
      R"({"size": 4, "fast": true, "place": "file", "names": ["x", "y"], "wait": "250ms"})");
  ASSERT_THAT(Parse({config.c_str(), "--place=line"}), IsOk());
  EXPECT_EQ(absl::GetFlag(FLAGS_size), 4);
  EXPECT_TRUE(absl::GetFlag(FLAGS_fast));
  EXPECT_EQ(absl::GetFlag(FLAGS_place), "line");
  EXPECT_THAT(absl::GetFlag(FLAGS_names), ElementsAre("x", "y"));
  EXPECT_EQ(absl::GetFlag(FLAGS_wait), absl::Milliseconds(250));
}

TEST_F(CommandLineTest, ConfigFileErrorsNameTheFileAndTheField) {
  for (const auto& [content, what] : std::vector<std::pair<std::string, std::string>>{
           {R"({"sise": 4})", "unknown field \"sise\""},
           {R"({"config": "x"})", "unknown field \"config\""},
           {R"({"size": "big"})", "bad value \"big\" for \"size\""},
           {R"({"size": {}})", "size"},
           {R"({"size": 4)", "config.json"},
           {R"([])", "object"},
       }) {
    const std::string config = ConfigFile(content);
    EXPECT_THAT(Parse({config.c_str()}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)))
        << content;
  }
  EXPECT_THAT(Parse({"--config=/nonexistent/byrnie.json"}),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("/nonexistent/byrnie.json"),
                                                          HasSubstr("give a JSON file"))));
}

using CommandLineDeathTest = CommandLineTest;

TEST_F(CommandLineDeathTest, ErrorIsOneLineAndExitCodeTwo) {
  EXPECT_EXIT(ExitWithError("byrnie-thing", absl::InvalidArgumentError("bad\nthing")),
              ::testing::ExitedWithCode(2), "^byrnie-thing: error: bad\\\\nthing\n$");
}

}  // namespace
}  // namespace byrnie
