#ifndef BYRNIE_TEST_BENCH_LOAD_CLIENT_H_
#define BYRNIE_TEST_BENCH_LOAD_CLIENT_H_

#include "absl/status/statusor.h"
#include "common/base/unique_fd.h"
#include "common/net/socket_address.h"
#include "test/bench/load/measurement.h"
#include "test/bench/load/options.h"
#include "test/bench/load/poller.h"

namespace byrnie::load {

// Each does its workload to the end and leaves what it measured in `measurement`; what failed is
// its status. Defined in a file of its own each.
void RunConnect(const Options& options, Poller* poller, Measurement* measurement);
void RunRequest(const Options& options, Poller* poller, Measurement* measurement);
void RunBulk(const Options& options, Poller* poller, Measurement* measurement);
// Prints {"held": N} when all are open; returns only after a failure.
void RunHold(const Options& options, Poller* poller, Measurement* measurement);

// Shared by them.

// A socket on its way to `to`: writable once it is there.
absl::StatusOr<UniqueFd> StartConnecting(const SocketAddress& to);

// Goes through the first answer, warm-up and window, which lasts until there is something in it.
// False when that failed.
bool RunWindow(const Options& options, Poller* poller, Measurement* measurement);

// Goes on until `done()`, or a failure: DeadlineExceeded, naming `what`, after a minute.
template <typename Condition>
bool RunUntil(Poller* poller, Measurement* measurement, const char* what, Condition done) {
  const absl::Duration deadline = measurement->Now() + absl::Minutes(1);
  while (measurement->status().ok() && !done()) {
    if (measurement->Now() >= deadline) {
      measurement->Fail(absl::DeadlineExceededError(what));
      break;
    }
    poller->Turn(absl::Milliseconds(100));
  }
  return measurement->status().ok();
}

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_CLIENT_H_
