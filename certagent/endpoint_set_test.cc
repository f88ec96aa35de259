#include "certagent/endpoint_set.h"

#include <map>
#include <random>
#include <set>
#include <string>

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

// "b:2", wherever it came to stand.
std::string Next(const EndpointSet& endpoints, absl::Duration now) {
  return endpoints.target(endpoints.Choose(now));
}

TEST_F(EndpointSetTest, AgentsWhoseControlPlaneIsGoneGoToDifferentOnes) {
  std::map<std::string, int> chosen;
  for (int agent = 0; agent < 1000; ++agent) {
    MetricRegistry metrics;
    EndpointSet endpoints("ca", {"a:1", "b:2", "c:3"}, &metrics, random_);
    EXPECT_EQ(Next(endpoints, now_), "a:1");
    endpoints.OnCallEnded(endpoints.Choose(now_), down_, now_);
    ++chosen[Next(endpoints, now_)];
  }
  EXPECT_EQ(chosen.size(), 2u);
  EXPECT_GT(chosen["b:2"], 400);
  EXPECT_GT(chosen["c:3"], 400);
}

TEST_F(EndpointSetTest, StreamsOfOneConnectionFailOnce) {
  MetricRegistry metrics;
  EndpointSet endpoints("ca", {"a:1", "b:2"}, &metrics, random_);
  for (int stream = 0; stream < 6; ++stream) endpoints.OnCallEnded(0, down_, now_);
  EXPECT_FALSE(endpoints.HasAnother(1, now_));
  EXPECT_TRUE(endpoints.HasAnother(1, now_ + absl::Seconds(2)));
}

TEST_F(EndpointSetTest, DoesNotGoBackToOneThatFailedBeforeTheOthersWereTried) {
  endpoints_.OnCallEnded(0, down_, now_);
  now_ += absl::Minutes(5);
  EXPECT_EQ(endpoints_.Choose(now_), 1u);
  endpoints_.OnCallEnded(1, down_, now_);
  EXPECT_EQ(endpoints_.Choose(now_), 2u);
}

TEST_F(EndpointSetTest, WaitsLessWhileThereIsAnotherToAsk) {
  std::set<absl::Duration> different;
  for (int i = 0; i < 100; ++i) {
    const absl::Duration patience = endpoints_.PatienceWith(0, absl::Seconds(10), now_);
    EXPECT_GE(patience, absl::Seconds(2));
    EXPECT_LE(patience, absl::Seconds(4));
    different.insert(patience);
  }
  EXPECT_GT(different.size(), 50u);
  EXPECT_EQ(endpoints_.PatienceWith(0, absl::Seconds(1), now_), absl::Seconds(1));
  // A mesh in which all are slow is not helped by asking all of them again and again.
  for (size_t other : {1, 2}) endpoints_.OnCallEnded(other, down_, now_);
  EXPECT_EQ(endpoints_.PatienceWith(0, absl::Seconds(10), now_), absl::Seconds(10));
  MetricRegistry metrics;
  EndpointSet alone("ca", {"a:1"}, &metrics, random_);
  EXPECT_EQ(alone.PatienceWith(0, absl::Seconds(10), now_), absl::Seconds(10));
}

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
              HasSubstr("byrnie_certagent_endpoint_in_use{service=\"ca\",endpoint=\"" +
                        endpoints_.target(1) + "\"} 1"));
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
  MetricRegistry metrics;
  EndpointSet endpoints("ca", {"a:1", "b:2"}, &metrics, random_);
  for (int failures = 1; failures <= 12; ++failures) {
    endpoints.OnCallEnded(0, down_, now_);
    absl::Duration pause;
    while (!endpoints.HasAnother(1, now_ + pause)) pause += absl::Milliseconds(100);
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
