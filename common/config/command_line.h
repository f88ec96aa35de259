#ifndef BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_
#define BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace byrnie {

// Options come from Abseil flags, set by the command line ("--name=value", "--name value",
// "--switch", "--noswitch", a dash for an underscore wherever one likes) and by --config=FILE, a
// JSON object whose keys are flag names (schema byrnie.config.v1). The command line wins. An
// unknown name or a value its flag does not take is an error; so is a flag given twice, unless it
// is a list, of which each gives more. Called once, by main, before there are threads.

// Who is speaking; the texts outlive the call.
struct ProgramInfo {
  absl::string_view name;     // "byrnie-proxy"
  absl::string_view summary;  // What it is, and how arguments that are not flags are used, if any.
  // What follows the flags in the usage line of --help, as "apply|remove"; empty for no such line.
  absl::string_view arguments = "";
};

struct CommandLine {
  enum class Action { kRun, kShowHelp, kShowVersion };
  Action action = Action::kRun;
  // What is not a flag, in order; everything after "--" is not.
  std::vector<std::string> positional;
  // Names of the flags it gives.
  std::set<std::string> given;
};

// Sets the flags. `args` is argv without the program. InvalidArgument names the flag or the file
// and what to do; the flags before it may have been set by then, so the caller ends.
absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const char* const> args);

// What --help shows: the summary, then every flag of ours with its default, by name.
std::string HelpText(const ProgramInfo& program);

// The lines of HelpText for the flags of these names, in this order; a name that is no flag of ours
// has none.
std::string FlagsText(absl::Span<const absl::string_view> names);

// The same of one flag, with other words for what it is.
std::string FlagTextWith(absl::string_view name, absl::string_view help);

// ParseCommandLine for main: shows help or version and exits 0; says what is wrong in one line on
// stderr and exits 2; else gives the arguments that are not flags. The first call of main: it also
// opens what is closed of stdin, stdout and stderr, see OpenStandardDescriptors.
std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, const ProgramInfo& program);

// Ends the process because its configuration is bad: "byrnie-proxy: error: …" in one line on
// stderr, exit 2.
[[noreturn]] void ExitWithError(absl::string_view program, const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_
