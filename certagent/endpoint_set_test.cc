#include "certagent/endpoint_set.h"

#include <random>

#include "common/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class EndpointSetTest : public ::testing::Test {
 protected:
  std::mt19937_64 random_{7};
  MetricRegistry metrics_;
  EndpointSet endpoints_{"ca", {"a:1", "b:2", "c:3"}, &metrics_, random_};
  absl::Duration now_ = absl::Seconds(100);
  const absl::Status down_ = absl::UnavailableError("down");
};

TEST_F(EndpointSetTest, UsesTheFirstWhileItWorks) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(endpoints_.Choose(now_), 0u);
    endpoints_.OnCallEnded(0, absl::OkStatus(), now_);
  }
}

TEST_F(EndpointSetTest, GoesToTheNextWhenOneFailsAndStaysThere) {
  endpoints_.OnCallEnded(0, down_, now_);
  EXPECT_EQ(endpoints_.Choose(now_), 1u);
  endpoints_.OnCallEnded(1, absl::OkStatus(), now_);
  now_ += absl::Hours(1);
  EXPECT_EQ(endpoints_.Choose(now_), 1u);
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_certagent_endpoint_in_use{service=\"ca\",endpoint=\"b:2\"} 1"));
}

TEST_F(EndpointSetTest, ComesAroundToTheFirst) {
  endpoints_.OnCallEnded(0, down_, now_);
  endpoints_.OnCallEnded(1, down_, now_);
  endpoints_.OnCallEnded(2, absl::OkStatus(), now_);
  now_ += absl::Seconds(2);
  endpoints_.OnCallEnded(2, down_, now_);
  EXPECT_EQ(endpoints_.Choose(now_), 0u);
}

TEST_F(EndpointSetTest, LeavesAFailingOneAloneForLongerAndLonger) {
  absl::Duration before;
  for (int failures = 1; failures <= 12; ++failures) {
    endpoints_.OnCallEnded(0, down_, now_);
    absl::Duration pause;
    while (endpoints_.Choose(now_ + pause) != 0) pause += absl::Milliseconds(100);
    EXPECT_GE(pause, absl::Seconds(1));
    EXPECT_LE(pause, absl::Seconds(91));
    if (failures == 12) {
      EXPECT_GE(pause, absl::Minutes(1));
    }
    now_ += pause;
  }
}

TEST_F(EndpointSetTest, UsesTheOneThatIsFreeFirstWhenAllFail) {
  absl::Status busy = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&busy, absl::Minutes(3));
  endpoints_.OnCallEnded(0, busy, now_);
  SetRetryAfter(&busy, absl::Minutes(2));
  endpoints_.OnCallEnded(1, busy, now_);
  EXPECT_TRUE(endpoints_.HasAnother(1, now_));
  SetRetryAfter(&busy, absl::Minutes(4));
  endpoints_.OnCallEnded(2, busy, now_);
  EXPECT_FALSE(endpoints_.HasAnother(1, now_));
  EXPECT_EQ(endpoints_.Choose(now_ + absl::Seconds(1)), 1u);
}

TEST_F(EndpointSetTest, DoesNotBlameAnEndpointForARefusal) {
  endpoints_.OnCallEnded(0, absl::UnauthenticatedError("who are you"), now_);
  endpoints_.OnCallEnded(0, absl::InvalidArgumentError("csr"), now_);
  EXPECT_EQ(endpoints_.Choose(now_), 0u);
}

}  // namespace
}  // namespace byrnie
