#include "proxy/tcp_metrics.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/proxy_metrics.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TcpLabelValues Values(absl::string_view principal) {
  TcpLabelValues values;
  values.fill("x");
  values[kReporter] = "destination";
  values[kSourcePrincipal] = principal;
  values[kResponseFlags] = "-";
  return values;
}

// Lines that are samples.
size_t SeriesIn(const std::string& text) {
  size_t lines = 0;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    if (text[begin] != '#') ++lines;
  }
  return lines;
}

TEST(TcpMetricsTest, CountsAConnectionWithIstiosNames) {
  MetricRegistry registry;
  TcpMetrics metrics(&registry, 2000, 1);
  TcpSeries series;
  series.AddBytes(1, 1);  // Not open yet.
  series.Open(metrics.shard(0), Values("a\"b"));
  series.AddBytes(10, 20);
  series.AddBytes(1, 0);
  const std::string labels =
      "{reporter=\"destination\",source_workload=\"x\",source_workload_namespace=\"x\","
      "source_principal=\"a\\\"b\",destination_workload=\"x\",destination_workload_namespace=\"x\","
      "destination_principal=\"x\",destination_service=\"x\",destination_service_name=\"x\","
      "destination_service_namespace=\"x\",request_protocol=\"x\",response_flags=\"-\","
      "connection_security_policy=\"x\"}";
  EXPECT_THAT(registry.RenderPrometheusText(),
              AllOf(HasSubstr("istio_tcp_connections_opened_total" + labels + " 1\n"),
                    HasSubstr("istio_tcp_connections_closed_total" + labels + " 0\n"),
                    HasSubstr("istio_tcp_sent_bytes_total" + labels + " 11\n"),
                    HasSubstr("istio_tcp_received_bytes_total" + labels + " 20\n")));
  series.Close(metrics.shard(0), "-");
  series.Close(metrics.shard(0), "-");
  EXPECT_THAT(registry.RenderPrometheusText(),
              HasSubstr("istio_tcp_connections_closed_total" + labels + " 1\n"));
}

TEST(TcpMetricsTest, FlagsAreOfTheEndAlone) {
  MetricRegistry registry;
  TcpMetrics metrics(&registry, 2000, 1);
  TcpSeries series;
  series.Open(metrics.shard(0), Values("a"));
  series.Close(metrics.shard(0), "UF");
  EXPECT_EQ(SeriesIn(registry.RenderPrometheusText()), 6u);  // Four, the end with flags, folded.
  EXPECT_THAT(registry.RenderPrometheusText(), HasSubstr("response_flags=\"UF\""));
}

TEST(TcpMetricsTest, WorkersAreOneSeries) {
  MetricRegistry registry;
  TcpMetrics metrics(&registry, 2000, 2);
  for (size_t worker : {0, 1}) {
    TcpSeries series;
    series.Open(metrics.shard(worker), Values("a"));
    series.AddBytes(5, 5);
  }
  EXPECT_EQ(SeriesIn(registry.RenderPrometheusText()), 5u);
  EXPECT_THAT(registry.RenderPrometheusText(), HasSubstr("} 10\n"));
}

TEST(TcpMetricsTest, AHundredThousandPeersAreAPageOfTwoThousandSeries) {
  constexpr int kPeers = 100000;
  MetricRegistry registry;
  const ProxyMetrics proxy_metrics(&registry);
  TcpMetrics metrics(&registry, 2000, 2);
  for (int i = 0; i < kPeers; ++i) {
    const std::string principal = absl::StrCat("spiffe://cluster.local/ns/demo/sa/account-", i);
    TcpSeries series;
    series.Open(metrics.shard(i % 2), Values(principal));
    series.AddBytes(1, 1);
    series.Close(metrics.shard(i % 2), i % 3 == 0 ? "DC" : "-");
  }
  const std::string text = registry.RenderPrometheusText();
  EXPECT_LE(SeriesIn(text), 2000u);
  EXPECT_GE(SeriesIn(text), 1000u);
  EXPECT_LE(text.size(), 1024u * 1024);
  EXPECT_THAT(text, AllOf(HasSubstr("source_principal=\"unknown\""), HasSubstr("account-0\""),
                          Not(HasSubstr("account-99999\""))));
}

}  // namespace
}  // namespace byrnie
