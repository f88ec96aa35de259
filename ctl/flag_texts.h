#ifndef BYRNIE_CTL_FLAG_TEXTS_H_
#define BYRNIE_CTL_FLAG_TEXTS_H_

#include "absl/strings/string_view.h"

namespace byrnie {

// What the help of a command says of a flag that other commands take as well, for something else;
// empty: what the flag says of itself (ctl/flags.cc).
absl::string_view FlagTextOf(absl::string_view command, absl::string_view flag);

}  // namespace byrnie

#endif  // BYRNIE_CTL_FLAG_TEXTS_H_
