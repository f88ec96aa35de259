#ifndef BYRNIE_COMMON_TELEMETRY_METRICS_H_
#define BYRNIE_COMMON_TELEMETRY_METRICS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Label names and values of one series, in the order given. Values come from closed sets (reasons,
// results), never from the network: cardinality is bounded by the code.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A number that only grows. Thread-safe, one relaxed atomic add.
class Counter {
 public:
  void Increment(uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A number that goes both ways. Thread-safe.
class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t by) { value_.fetch_add(by, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// A distribution in fixed buckets, of seconds unless its name says otherwise. Thread-safe.
class Histogram {
 public:
  // `bounds` are upper bounds, growing and finite; +Inf is added.
  explicit Histogram(std::vector<double> bounds);
  void Observe(double value);
  struct Snapshot {
    std::vector<double> bounds;
    std::vector<uint64_t> cumulative;  // One more than bounds.
    double sum = 0;
  };
  Snapshot Take() const;

 private:
  const std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;
  std::atomic<double> sum_{0};
};

// Labels as a sample's line has them, `a="x",b="y"`: for collectors, which may make them once.
std::string RenderLabels(const MetricLabels& labels);
// Where a collector puts one series after the other.
using CounterSink = absl::FunctionRef<void(absl::string_view labels, uint64_t value)>;

// All metrics of a process, made once by its composition root and handed down. Registration and
// rendering lock; the metrics themselves never do. Returned pointers live as long as the registry.
// The same name and labels give the same metric; the same name as another type, or a name
// Prometheus does not take, is a programming error and aborts.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  // `name` follows Prometheus' rules: byrnie_PROCESS_WHAT_UNIT, counters end in _total.
  Counter* AddCounter(absl::string_view name, absl::string_view help,
                      const MetricLabels& labels = {});
  Gauge* AddGauge(absl::string_view name, absl::string_view help, const MetricLabels& labels = {});
  Histogram* AddHistogram(absl::string_view name, absl::string_view help,
                          std::vector<double> bounds, const MetricLabels& labels = {});
  // A gauge computed when it is read; `read` runs on the reading thread, registers nothing, and
  // what it uses outlives the registry. The same name and labels replace it.
  void AddCallbackGauge(absl::string_view name, absl::string_view help,
                        std::function<double()> read, const MetricLabels& labels = {});

  // The same as a counter: what is read only grows.
  void AddCallbackCounter(absl::string_view name, absl::string_view help,
                          std::function<double()> read, const MetricLabels& labels = {});

  // A counter whose series `collect` lists when they are read: those that appeared while the
  // program ran, each once, always in the same order, with labels as RenderLabels makes them.
  // `collect` runs on the reading thread, one call at a time, registers nothing, and what it uses
  // outlives the registry. Once per name, which has no other series.
  void AddCounterCollector(absl::string_view name, absl::string_view help,
                           std::function<void(CounterSink sink)> collect);

  // Prometheus text exposition format 0.0.4, families and series in a stable order.
  std::string RenderPrometheusText() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_METRICS_H_
