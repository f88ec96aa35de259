#ifndef BYRNIE_TEST_BENCH_LOAD_MEASUREMENT_H_
#define BYRNIE_TEST_BENCH_LOAD_MEASUREMENT_H_

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/json_writer.h"
#include "test/bench/load/histogram.h"

namespace byrnie::load {

// What was done between Begin() and End(), and what it took: operations and their latencies, time,
// CPU time of this and of other processes. The first failure of all is kept. Lives on one thread.
class Measurement {
 public:
  enum class State { kBefore, kMeasuring, kAfter };

  // Times are those of `clock`; CPU times of `processes` besides our own are reported.
  Measurement(const Clock* clock, std::vector<pid_t> processes)
      : clock_(clock), processes_(std::move(processes)) {}
  Measurement(const Measurement&) = delete;
  Measurement& operator=(const Measurement&) = delete;

  void Begin();
  void End();
  State state() const { return state_; }

  // An operation is through. Before and after the window it does not count as measured.
  void Completed(absl::Duration latency);
  void Fail(absl::Status status);
  const absl::Status& status() const { return status_; }
  uint64_t operations() const { return latencies_.count(); }
  // In the window or not.
  uint64_t completed() const { return completed_; }

  absl::Duration Now() const { return clock_->MonotonicNow(); }

  // Fields "seconds", "own_cpu_seconds", and "cpu_seconds" by process; of operations, if there were
  // any, "completed", "operations" and "latency_us".
  void Report(JsonWriter* json) const;

 private:
  // Of our own and the others, in their order.
  std::vector<absl::Duration> CpuTimes();

  const Clock* const clock_;  // Not owned.
  const std::vector<pid_t> processes_;
  State state_ = State::kBefore;
  absl::Status status_;
  absl::Duration time_;
  std::vector<absl::Duration> cpu_;
  Histogram latencies_;
  uint64_t completed_ = 0;
};

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_MEASUREMENT_H_
