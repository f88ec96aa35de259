#ifndef BYRNIE_CTL_COMPLETION_H_
#define BYRNIE_CTL_COMPLETION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// A script for bash or zsh that completes commands, flags, the values of those that have a few, and
// files. InvalidArgument for another shell.
absl::StatusOr<std::string> CompletionScript(absl::string_view shell);

}  // namespace byrnie

#endif  // BYRNIE_CTL_COMPLETION_H_
