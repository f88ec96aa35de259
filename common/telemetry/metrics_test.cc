#include "common/telemetry/metrics.h"

#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

TEST(MetricsTest, RendersFamiliesAndSeriesInAStableOrder) {
  MetricRegistry registry;
  registry.AddGauge("b_gauge", "Second.")->Set(-3);
  registry.AddCounter("a_total", "First.", {{"result", "ok"}})->Increment(2);
  registry.AddCounter("a_total", "First.", {{"result", "denied"}})->Increment();
  const std::string expected =
      "# HELP a_total First.\n"
      "# TYPE a_total counter\n"
      "a_total{result=\"denied\"} 1\n"
      "a_total{result=\"ok\"} 2\n"
      "# HELP b_gauge Second.\n"
      "# TYPE b_gauge gauge\n"
      "b_gauge -3\n";
  EXPECT_EQ(registry.RenderPrometheusText(), expected);
  EXPECT_EQ(registry.RenderPrometheusText(), expected);
}

TEST(MetricsTest, EscapesHelpAndLabelValues) {
  MetricRegistry registry;
  registry.AddCounter("x_total", "One \\ and\nanother \"line\".", {{"v", "a\\b\"c\nd"}});
  EXPECT_EQ(registry.RenderPrometheusText(),
            "# HELP x_total One \\\\ and\\nanother \"line\".\n"
            "# TYPE x_total counter\n"
            "x_total{v=\"a\\\\b\\\"c\\nd\"} 0\n");
}

TEST(MetricsTest, SameNameAndLabelsGiveTheSameMetric) {
  MetricRegistry registry;
  EXPECT_EQ(registry.AddCounter("a_total", "A.", {{"x", "1"}}),
            registry.AddCounter("a_total", "A.", {{"x", "1"}}));
  EXPECT_NE(registry.AddCounter("a_total", "A.", {{"x", "1"}}),
            registry.AddCounter("a_total", "A.", {{"x", "2"}}));
  EXPECT_EQ(registry.AddHistogram("h", "H.", {1, 2}), registry.AddHistogram("h", "H.", {1, 2}));
  EXPECT_EQ(registry.AddGauge("g", "G."), registry.AddGauge("g", "G."));
}

TEST(MetricsTest, HistogramBucketsAreCumulativeAndInclusive) {
  Histogram histogram({0.5, 1, 10});
  for (const double value : {0.1, 0.5, 0.75, 1.0, 10.5, 1e9}) histogram.Observe(value);
  const Histogram::Snapshot snapshot = histogram.Take();
  EXPECT_THAT(snapshot.cumulative, ElementsAre(2, 4, 4, 6));
  EXPECT_DOUBLE_EQ(snapshot.sum, 0.1 + 0.5 + 0.75 + 1.0 + 10.5 + 1e9);
}

TEST(MetricsTest, RendersHistogramsWithAndWithoutLabels) {
  MetricRegistry registry;
  registry.AddHistogram("d_seconds", "D.", {0.005, 2.5})->Observe(0.125);
  registry.AddHistogram("e_seconds", "E.", {1}, {{"role", "client"}})->Observe(4);
  EXPECT_EQ(registry.RenderPrometheusText(),
            "# HELP d_seconds D.\n"
            "# TYPE d_seconds histogram\n"
            "d_seconds_bucket{le=\"0.005\"} 0\n"
            "d_seconds_bucket{le=\"2.5\"} 1\n"
            "d_seconds_bucket{le=\"+Inf\"} 1\n"
            "d_seconds_sum 0.125\n"
            "d_seconds_count 1\n"
            "# HELP e_seconds E.\n"
            "# TYPE e_seconds histogram\n"
            "e_seconds_bucket{role=\"client\",le=\"1\"} 0\n"
            "e_seconds_bucket{role=\"client\",le=\"+Inf\"} 1\n"
            "e_seconds_sum{role=\"client\"} 4\n"
            "e_seconds_count{role=\"client\"} 1\n");
}

TEST(MetricsTest, CallbackGaugesAreReadWhenRendered) {
  MetricRegistry registry;
  double value = 0.1;
  registry.AddCallbackGauge("c", "C.", [&value] { return value; });
  EXPECT_THAT(registry.RenderPrometheusText(), ::testing::EndsWith("\nc 0.1\n"));
  value = 1.0 / 3;
  EXPECT_THAT(registry.RenderPrometheusText(), ::testing::EndsWith("\nc 0.33333333333333331\n"));
  value = -std::numeric_limits<double>::infinity();
  EXPECT_THAT(registry.RenderPrometheusText(), ::testing::EndsWith("\nc -Inf\n"));
}

TEST(MetricsTest, CallbackCountersAreReadWhenRendered) {
  MetricRegistry registry;
  double value = 3;
  registry.AddCallbackCounter("c_total", "C.", [&value] { return value; });
  EXPECT_EQ(registry.RenderPrometheusText(),
            "# HELP c_total C.\n"
            "# TYPE c_total counter\n"
            "c_total 3\n");
  value = 4;
  EXPECT_THAT(registry.RenderPrometheusText(), ::testing::EndsWith("\nc_total 4\n"));
}

TEST(MetricsTest, CollectedSeriesAreListedAsTheyAreGiven) {
  MetricRegistry registry;
  std::vector<std::pair<std::string, uint64_t>> samples;
  registry.AddCounterCollector("c_total", "C.", [&samples](CounterSink sink) {
    for (const auto& [labels, value] : samples) sink(labels, value);
  });
  EXPECT_EQ(registry.RenderPrometheusText(), "# HELP c_total C.\n# TYPE c_total counter\n");
  samples = {{RenderLabels({{"peer", "a\"\\\n"}, {"x", "y"}}), 2}, {"", 4}};
  EXPECT_EQ(registry.RenderPrometheusText(),
            "# HELP c_total C.\n"
            "# TYPE c_total counter\n"
            "c_total{peer=\"a\\\"\\\\\\n\",x=\"y\"} 2\n"
            "c_total 4\n");
}

TEST(MetricsTest, CountsOfManyThreadsAreNotLost) {
  MetricRegistry registry;
  Counter* counter = registry.AddCounter("a_total", "A.");
  Histogram* histogram = registry.AddHistogram("h", "H.", {0.5});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, counter, histogram] {
      for (int i = 0; i < 1000; ++i) {
        counter->Increment();
        histogram->Observe(1);
        if (i % 100 == 0) registry.RenderPrometheusText();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter->value(), 4000u);
  EXPECT_THAT(histogram->Take().cumulative, ElementsAre(0, 4000));
  EXPECT_DOUBLE_EQ(histogram->Take().sum, 4000);
}

TEST(MetricsDeathTest, NameUsedAsTwoTypesAborts) {
  MetricRegistry registry;
  registry.AddCounter("a", "A.");
  EXPECT_DEATH(registry.AddGauge("a", "A."), "type == type");
  EXPECT_DEATH(registry.AddCounter("not-a-name", "A."), "IsName");
}

}  // namespace
}  // namespace byrnie
