#ifndef BYRNIE_TEST_BENCH_LOAD_CPU_TIME_H_
#define BYRNIE_TEST_BENCH_LOAD_CPU_TIME_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace byrnie::load {

// The CPU time of a process from its clock (clock_getcpuclockid): what /proc/PID/stat shows in
// ticks of 10 ms, to the nanosecond, of all its threads, those that have ended too. It needs no
// control group, and no right but to know the process. NotFound when there is no such process.
absl::StatusOr<absl::Duration> CpuTimeOf(pid_t pid);

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_CPU_TIME_H_
