#include "test/bench/load/cpu_time.h"

#include <time.h>

#include "absl/strings/str_cat.h"

namespace byrnie::load {

absl::StatusOr<absl::Duration> CpuTimeOf(pid_t pid) {
  clockid_t clock;
  timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has no CPU clock"));
  }
  return absl::DurationFromTimespec(time);
}

}  // namespace byrnie::load
