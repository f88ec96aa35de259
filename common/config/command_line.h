#ifndef BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_
#define BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

struct ProgramInfo {
  std::string name;     // "byrnie-proxy"
  std::string summary;  // One sentence for --help.
  // What follows the flags in the usage line, as "apply|remove|check|print"; empty when nothing
  // may.
  std::string arguments = "";
};

// What the command line asks for.
struct CommandLine {
  // What is not a flag, in order; all that follows "--" counts.
  std::vector<std::string> arguments;
  // Not empty for --help and --version: print it on stdout and exit with 0.
  std::string print_and_exit;
};

// Sets the program's Abseil flags, in this order of strength: their defaults, the JSON object in
// the file named by
// --config=FILE (keys are flag names), the command line. Forms: --flag=value, --flag value, --bool,
// --nobool; the last of several wins. Only flags that the program itself defines with ABSL_FLAG
// exist, besides --help, --version and --config.
//
// In the file a flag of type bool takes true or false, a number a number, a list an array of
// strings, any other a string. InvalidArgument for an unknown flag or key, a value that the flag
// refuses, an argument that may not be there; the errors of ReadFile for the file. Not thread-safe:
// called once, before threads exist. `args` is without argv[0].
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args,
                                             const ProgramInfo& program);

// ParseCommandLine for main(): prints help or an error and exits where there is one. Returns the
// arguments.
std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, const ProgramInfo& program);

// Prints "PROGRAM: error: MESSAGE" as one line on stderr and exits with 2: for every error of
// configuration.
[[noreturn]] void ExitWithError(absl::string_view program, const absl::Status& status);

// The line that ExitWithError prints, without its end.
std::string FormatError(absl::string_view program, const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CONFIG_COMMAND_LINE_H_
