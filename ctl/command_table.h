#ifndef BYRNIE_CTL_COMMAND_TABLE_H_
#define BYRNIE_CTL_COMMAND_TABLE_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ctl/command.h"

namespace byrnie {

// The command that words begin with; what follows goes into `arguments`. InvalidArgument, with what
// there is instead, when there is none or the arguments are too few or too many.
absl::StatusOr<const Command*> FindCommand(const std::vector<std::string>& words,
                                           std::vector<std::string>* arguments);

// InvalidArgument when a flag is given that the command does not take.
absl::Status CheckFlags(const Command& command, const std::set<std::string>& given);

// All that it takes, those of the connection among them.
std::vector<std::string> FlagsOf(const Command& command);

// Whether it is the first word of one.
bool BeginsACommand(absl::string_view word);

// What --help shows: all commands, or those that words begin with ("policy"), or one with its flags
// ("policy apply").
std::string HelpFor(const std::vector<std::string>& words);

}  // namespace byrnie

#endif  // BYRNIE_CTL_COMMAND_TABLE_H_
