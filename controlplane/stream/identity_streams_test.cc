#include "controlplane/stream/identity_streams.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class IdentityStreamsTest : public ::testing::Test {
 protected:
  // Whether one more of `identity` was admitted; it then stays open.
  bool Open(const std::string& identity) {
    auto place = streams_.Admit(identity);
    last_ = place.status();
    if (place.ok()) open_.push_back(*std::move(place));
    return last_.ok();
  }
  size_t OpenAll(const std::string& identity) {
    size_t opened = 0;
    while (Open(identity)) ++opened;
    return opened;
  }
  std::string Metrics() const { return metrics_.RenderPrometheusText(); }

  MetricRegistry metrics_;
  IdentityStreams streams_{&metrics_};
  std::vector<std::unique_ptr<IdentityStreams::Place>> open_;
  absl::Status last_;
};

TEST_F(IdentityStreamsTest, OneIdentityLeavesRoomForOthers) {
  EXPECT_EQ(OpenAll("a"), IdentityStreams::kOfOneIdentity);
  EXPECT_THAT(last_, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("close some")));
  EXPECT_EQ(RetryAfter(last_), IdentityStreams::kRetryAfter);
  EXPECT_TRUE(Open("b"));
  EXPECT_THAT(Metrics(), HasSubstr("streams_refused_total{limit=\"identity\"} 1"));
  open_.clear();
  EXPECT_TRUE(Open("a"));
}

TEST_F(IdentityStreamsTest, WhereThereAreManyThoseWhoHaveFewAreNotRefused) {
  ASSERT_TRUE(Open("few"));
  size_t opened = 1;
  for (int i = 0; i < 20; ++i) opened += OpenAll(absl::StrCat("many", i));
  // Each of the others got what everybody always does.
  EXPECT_GE(opened, IdentityStreams::kOfAll);
  EXPECT_LE(opened, IdentityStreams::kOfAll + 20 * IdentityStreams::kAlways);
  EXPECT_THAT(Metrics(), HasSubstr("streams_refused_total{limit=\"all\"} "));
  EXPECT_TRUE(Open("few"));
  EXPECT_EQ(OpenAll("new"), IdentityStreams::kAlways);
}

}  // namespace
}  // namespace byrnie
