#include "test/bench/load/measurement.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

// The kernel numbers processes below it.
constexpr pid_t kNoProcess = 4194304;

using ::testing::HasSubstr;
using ::testing::Not;

std::string ReportOf(const Measurement& measurement) {
  JsonWriter json;
  json.BeginObject();
  measurement.Report(&json);
  json.EndObject();
  return std::move(json).Finish();
}

TEST(MeasurementTest, CountsOnlyWhatIsThroughInItsWindow) {
  FakeClock clock;
  Measurement measurement(&clock, {});
  measurement.Completed(absl::Milliseconds(1));
  measurement.Begin();
  measurement.Completed(absl::Milliseconds(2));
  measurement.Completed(absl::Milliseconds(40));
  clock.Advance(absl::Milliseconds(1500));
  measurement.End();
  measurement.Completed(absl::Milliseconds(3));
  const std::string report = ReportOf(measurement);
  EXPECT_THAT(report, HasSubstr("\"seconds\":1.5,"));
  EXPECT_THAT(report, HasSubstr("\"operations\":2,"));
  EXPECT_THAT(report, HasSubstr("\"completed\":4,"));
  EXPECT_THAT(report, HasSubstr("\"min\":2000,"));
  EXPECT_THAT(report, HasSubstr("\"max\":40000}"));
  EXPECT_THAT(report, HasSubstr("\"between_35_and_50_ms\":1"));
}

TEST(MeasurementTest, ReportsTheProcessesAskedFor) {
  FakeClock clock;
  Measurement measurement(&clock, {getpid()});
  measurement.Begin();
  measurement.End();
  const std::string report = ReportOf(measurement);
  EXPECT_THAT(report, HasSubstr(absl::StrCat("\"cpu_seconds\":{\"", getpid(), "\":")));
  EXPECT_THAT(report, HasSubstr("\"own_cpu_seconds\":"));
  EXPECT_THAT(report, Not(HasSubstr("latency_us")));
  EXPECT_THAT(measurement.status(), IsOk());
}

TEST(MeasurementTest, FailsWhenAProcessIsNotThere) {
  FakeClock clock;
  Measurement measurement(&clock, {kNoProcess});
  measurement.Begin();
  EXPECT_THAT(measurement.status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST(MeasurementTest, KeepsTheFirstFailure) {
  FakeClock clock;
  Measurement measurement(&clock, {});
  measurement.Fail(absl::UnavailableError("first"));
  measurement.Fail(absl::InternalError("second"));
  EXPECT_THAT(measurement.status(), StatusIs(absl::StatusCode::kUnavailable, "first"));
}

}  // namespace
}  // namespace byrnie::load
