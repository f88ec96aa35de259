#include "proxy/proxy_metrics.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/reason_set.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Direction = AccessRecord::Direction;
using Result = AccessRecord::Result;

TEST(ProxyMetricsTest, CountsEachEndOnceByResultAndReason) {
  MetricRegistry registry;
  const ProxyMetrics metrics(&registry);
  metrics.CountEnd(Direction::kInbound, Result::kAllowed, access_reason::kClosed);
  metrics.CountEnd(Direction::kInbound, Result::kAllowed, access_reason::kClosed);
  metrics.CountEnd(Direction::kInbound, Result::kDenied, "policy-deny demo/deny-x");
  metrics.CountEnd(Direction::kOutbound, Result::kFailed, "made-up");
  // Reset by an application, after its connection was carried and before.
  metrics.CountEnd(Direction::kInbound, Result::kAllowed, access_reason::kResetByDownstream);
  metrics.CountEnd(Direction::kInbound, Result::kFailed, access_reason::kResetByDownstream);
  metrics.CountEnd(Direction::kInbound, Result::kAllowed, access_reason::kResetByUpstream);
  metrics.CountEnd(Direction::kInbound, Result::kAllowed, access_reason::kMaxAge);
  const std::string text = registry.RenderPrometheusText();
  const std::string name = "byrnie_proxy_connections_closed_total";
  EXPECT_THAT(
      text,
      AllOf(
          HasSubstr(name + "{direction=\"inbound\",result=\"allowed\",reason=\"closed\"} 2\n"),
          HasSubstr(name + "{direction=\"inbound\",result=\"denied\",reason=\"policy-deny\"} 1\n"),
          HasSubstr(name + "{direction=\"outbound\",result=\"failed\",reason=\"internal\"} 1\n"),
          // What never happened is no series.
          Not(HasSubstr("\"outbound\",result=\"allowed\""))));
  EXPECT_THAT(text, AllOf(HasSubstr("byrnie_proxy_refused_total{reason=\"policy-deny\"} 1\n"),
                          HasSubstr("byrnie_proxy_refused_total{reason=\"internal\"} 1\n"),
                          HasSubstr("refused_total{reason=\"reset-by-downstream\"} 1\n"),
                          HasSubstr("refused_total{reason=\"reset-by-upstream\"} 0\n"),
                          HasSubstr("refused_total{reason=\"max-age\"} 1\n")));
}

TEST(ProxyMetricsTest, EveryRefusalIsASeriesFromTheStart) {
  MetricRegistry registry;
  const ProxyMetrics metrics(&registry);
  const std::string text = registry.RenderPrometheusText();
  for (absl::string_view reason : AllReasons()) {
    const std::string series =
        "byrnie_proxy_refused_total{reason=\"" + std::string(reason) + "\"} 0\n";
    if (reason == access_reason::kClosed) {
      EXPECT_THAT(text, Not(HasSubstr(series)));
    } else {
      EXPECT_THAT(text, HasSubstr(series));
    }
  }
}

}  // namespace
}  // namespace byrnie
