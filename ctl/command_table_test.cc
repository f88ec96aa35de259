#include "ctl/command_table.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/status_matchers.h"
#include "ctl/completion.h"
#include "ctl/flag_texts.h"
#include "ctl/flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CommandTableTest, FindsACommandAndItsArguments) {
  std::vector<std::string> arguments;
  const auto command = FindCommand({"policy", "get", "demo/x"}, &arguments);
  ASSERT_THAT(command, IsOk());
  EXPECT_EQ((*command)->path, "policy get");
  EXPECT_THAT(arguments, ElementsAre("demo/x"));
}

TEST(CommandTableTest, SaysWhatThereIsInsteadOfAnUnknownOne) {
  std::vector<std::string> arguments;
  EXPECT_THAT(FindCommand({}, &arguments),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byrniectl --help")));
  EXPECT_THAT(FindCommand({"token", "burn"}, &arguments),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"token create\"")));
  EXPECT_THAT(FindCommand({"policy", "get"}, &arguments),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NAMESPACE/NAME")));
  EXPECT_THAT(FindCommand({"status", "x"}, &arguments),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"x\"")));
}

TEST(CommandTableTest, SaysWhatWasProbablyMeant) {
  std::vector<std::string> arguments;
  const auto said = [&arguments](const std::vector<std::string>& words) {
    return std::string(FindCommand(words, &arguments).status().message());
  };
  EXPECT_THAT(said({"stauts"}), HasSubstr("did you mean \"byrniectl status\"?"));
  EXPECT_THAT(said({"polcy", "lst"}), HasSubstr("did you mean \"byrniectl policy list\"?"));
  EXPECT_THAT(said({"workload"}), HasSubstr("did you mean \"byrniectl workloads\"?"));
  EXPECT_THAT(said({"policy", "aply"}), HasSubstr("did you mean \"byrniectl policy apply\"?"));
  for (const char* far : {"nonsense", "zzz", "x"}) {
    EXPECT_THAT(said({far}), Not(HasSubstr("did you mean"))) << far;
  }
  EXPECT_LT(said({"nonsense"}).size(), 100u);
}

TEST(CommandTableTest, HelpOfASharedFlagIsOfTheCommandAlone) {
  for (const Command& command : Commands()) {
    const std::vector<std::string> words = absl::StrSplit(command.path, ' ');
    std::string help = HelpFor(words);
    // What the connection's flags are for is the same for all.
    help = help.substr(0, help.find("Where the control plane is"));
    for (const char* other : {"issuances: ", "bug-report: ", "install: ", "uninstall: "}) {
      EXPECT_THAT(help, Not(HasSubstr(other))) << command.path;
    }
  }
  EXPECT_THAT(HelpFor({"issuances"}), HasSubstr("only what was issued to this SPIFFE ID"));
  EXPECT_THAT(HelpFor({"token", "create"}), HasSubstr("a join token for this SPIFFE ID"));
  EXPECT_THAT(HelpFor({"bug-report"}), HasSubstr("the file to write"));
  EXPECT_EQ(FlagTextOf("status", "output"), "");
}

TEST(CommandTableTest, TakesItsOwnFlagsAndThoseOfTheConnection) {
  std::vector<std::string> arguments;
  const Command& command = **FindCommand({"policy", "apply"}, &arguments);
  EXPECT_THAT(CheckFlags(command, {"file", "accept", "token", "control_plane"}), IsOk());
  EXPECT_THAT(CheckFlags(command, {"probe"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--probe")));
}

TEST(CommandTableTest, EveryCommandHasHelpWithAllItsFlags) {
  const std::string all = HelpFor({});
  for (const Command& command : Commands()) {
    EXPECT_THAT(all, HasSubstr(std::string(command.summary)));
    std::vector<std::string> words;
    const std::string help =
        HelpFor({std::string(command.path.substr(0, command.path.find(' '))),
                 command.path.find(' ') == command.path.npos
                     ? ""
                     : std::string(command.path.substr(command.path.find(' ') + 1))});
    EXPECT_THAT(help, HasSubstr("Usage: byrniectl " + std::string(command.path)));
    for (const absl::string_view flag : command.flags) {
      EXPECT_THAT(help, HasSubstr("  --" + std::string(flag) + "=")) << command.path;
    }
    EXPECT_NE(command.run, nullptr);
  }
  EXPECT_THAT(HelpFor({"policy"}), HasSubstr("policy delete"));
}

// What a script would read, it can have as JSON.
TEST(CommandTableTest, EveryCommandThatShowsSomethingTakesAnOutput) {
  // They write a file of another kind, or say nothing.
  const std::set<std::string> others = {"bug-report", "inject",     "uninject", "manifests",
                                        "ready",      "completion", "help"};
  for (const Command& command : Commands()) {
    bool takes_output = false;
    for (const absl::string_view flag : command.flags) takes_output |= flag == "output";
    EXPECT_EQ(takes_output, others.count(std::string(command.path)) == 0) << command.path;
  }
}

TEST(CommandTableTest, CompletesForTheShellsItKnows) {
  for (const char* shell : {"bash", "zsh"}) {
    const auto script = CompletionScript(shell);
    ASSERT_THAT(script, IsOk());
    EXPECT_THAT(*script, HasSubstr("policy"));
    EXPECT_THAT(*script, HasSubstr("--source_admin="));
    // What is given by its name alone.
    EXPECT_THAT(*script, HasSubstr("--follow "));
    EXPECT_THAT(*script, Not(HasSubstr("--follow=")));
    EXPECT_THAT(*script, HasSubstr("policy_changed"));
  }
  EXPECT_THAT(CompletionScript("fish"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CommandTableTest, WritesShortFlagsOut) {
  const char* const args[] = {"status", "-o", "json", "-f=x", "--", "-o"};
  EXPECT_THAT(ExpandShortFlags(args),
              ElementsAre("status", "--output", "json", "--file=x", "--", "-o"));
}

TEST(CommandTableTest, WritesShortFlagsWithTheValueJoinedOut) {
  const char* const args[] = {"-ojson",  "-f-",     "-fpolicy.json", "-operator=bob",
                              "-follow", "-o=json", "--dry-run",     "-x"};
  EXPECT_THAT(ExpandShortFlags(args),
              ElementsAre("--output=json", "--file=-", "--file=policy.json", "-operator=bob",
                          "-follow", "--output=json", "--dry-run", "-x"));
}

}  // namespace
}  // namespace byrnie
