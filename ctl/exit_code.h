#ifndef BYRNIE_CTL_EXIT_CODE_H_
#define BYRNIE_CTL_EXIT_CODE_H_

#include "absl/strings/string_view.h"

namespace byrnie {

// What byrniectl ends with; scripts rely on it.
enum ExitCode : int {
  kDone = 0,
  kProblem = 1,      // It found one, the control plane said no, or stdout could not be written.
  kUsage = 2,        // What was typed, or a file that it names.
  kUnreachable = 3,  // Nobody has answered, or not in time.
  kNotAllowed = 4,   // The token or certificate is not accepted, or its role is too little.
  kChanges = 5,      // policy diff, install --dry_run: something would be another way than now.
  kIncomplete = 6,   // Something is missing: an answer, a part of a report, of what is revoked.
  kHeldUp = 7,       // trust rotate, install with --wait: it is not over at the timeout.
};

inline constexpr absl::string_view kExitCodesText =
    "Exit codes: 0 done, 1 a problem was found, the control plane said no or the output could not\n"
    "be written, 2 wrong usage, 3 the control plane, the API server or the page is not reachable,\n"
    "4 the token or certificate is not accepted, or its role is too little, 5 policy diff or\n"
    "install --dry_run found a change, 6 policy diff had no connection to look at, bug-report\n"
    "lacks something, revoke may not have found all, or one of several control planes has not\n"
    "answered, 7 trust rotate or install with --wait has not seen the end of it in time.\n";

}  // namespace byrnie

#endif  // BYRNIE_CTL_EXIT_CODE_H_
