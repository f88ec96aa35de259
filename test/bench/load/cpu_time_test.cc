#include "test/bench/load/cpu_time.h"

#include <time.h>
#include <unistd.h>

#include <thread>

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

// The kernel numbers processes below it.
constexpr pid_t kNoProcess = 4194304;

absl::Duration Own() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

TEST(CpuTimeTest, IsWhatTheProcessHasUsed) {
  const absl::Duration before = Own();
  const absl::StatusOr<absl::Duration> found = CpuTimeOf(getpid());
  ASSERT_THAT(found, IsOk());
  EXPECT_LE(before, *found);
  EXPECT_LE(*found, Own());
}

TEST(CpuTimeTest, KeepsWhatAnEndedThreadHasUsed) {
  absl::Duration used;
  std::thread([&used] {
    timespec time = {};
    while (used < absl::Milliseconds(2)) {
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      used = absl::DurationFromTimespec(time);
    }
  }).join();
  const absl::StatusOr<absl::Duration> found = CpuTimeOf(getpid());
  ASSERT_THAT(found, IsOk());
  EXPECT_GE(*found, used);
}

TEST(CpuTimeTest, NamesAProcessThatIsNotThere) {
  EXPECT_THAT(CpuTimeOf(kNoProcess),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("4194304")));
}

}  // namespace
}  // namespace byrnie::load
