#include "proxy/recorder_page.h"

#include <string>

#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RecorderPageTest, IsJsonWhateverIsInIt) {
  EXPECT_THAT(JsonValue::Parse(RenderRecorder({}, false), 1024), IsOk());
  AccessRecord record;
  record.reason = "policy-deny \"},{";
  record.detail = "\"}\n\x1b[2J\xFF";
  record.stages.Complete(StageTimes::kDial, absl::Milliseconds(30));
  const std::string page =
      RenderRecorder({FlightRecorder::Entry(record), FlightRecorder::Entry(record)}, true);
  EXPECT_THAT(JsonValue::Parse(page, 64 * 1024), IsOk());
  EXPECT_THAT(page, AllOf(HasSubstr("\"complete\": true"), HasSubstr("\"dial_ms\":30"),
                          HasSubstr("\"reason\":\"policy-deny\""), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace byrnie
