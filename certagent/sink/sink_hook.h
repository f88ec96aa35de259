#ifndef BYRNIE_CERTAGENT_SINK_SINK_HOOK_H_
#define BYRNIE_CERTAGENT_SINK_SINK_HOOK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace byrnie {

// How an application is told that its files are new. Blocking: never on a loop. Thread-safe.

// A signal to the process whose number a file holds.
struct SinkSignal {
  std::string pid_file;
  int number = 0;
};
// "PIDFILE:HUP"; also USR1, USR2, WINCH and TERM. InvalidArgument.
absl::StatusOr<SinkSignal> ParseSinkSignal(absl::string_view text);

// The file is read each time. NotFound: no such file or process; InvalidArgument: no number of a
// process in it; PermissionDenied: a process of another user.
absl::Status SendSinkSignal(const SinkSignal& signal);

// Runs a program to its end, without a shell: argv[0] is its path. It gets PATH alone of the
// environment, and neither input, output nor descriptors of ours. Internal: its exit code is not 0;
// DeadlineExceeded: it was killed, with what it had started, after `timeout`; NotFound,
// PermissionDenied: it cannot be run.
absl::Status RunSinkCommand(const std::vector<std::string>& argv, absl::Duration timeout);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SINK_SINK_HOOK_H_
