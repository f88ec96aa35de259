#ifndef BYRNIE_PROXY_TCP_METRICS_H_
#define BYRNIE_PROXY_TCP_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/labelled_counters.h"
#include "common/telemetry/metrics.h"
#include "proxy/tcp_labels.h"

namespace byrnie {

// Istio's standard TCP metrics, by who talks to whom, in a bounded number of series. Made once;
// each worker counts in a shard of its own. Thread-safe; outlives the last reading of its registry.
class TcpMetrics {
 public:
  // `max_series` is for all of /metrics: what the proxy's own metrics may need is set aside.
  TcpMetrics(MetricRegistry* registry, size_t max_series, size_t workers);
  TcpMetrics(const TcpMetrics&) = delete;
  TcpMetrics& operator=(const TcpMetrics&) = delete;

  LabelledCounters::Shard* shard(size_t worker) const { return counters_.shard(worker); }

 private:
  // What is read as one series of each counter: the same labels, counted by one worker or several.
  struct Series {
    std::vector<const LabelledCounters::Set*> sets;
    bool ends_only = false;
  };

  void Collect(size_t counter, CounterSink sink);
  void TakeNew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  LabelledCounters counters_;
  // Of the readers alone. Labels are most of a page, and they never change.
  absl::Mutex mutex_;
  LabelledCounters::Mark taken_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Series> series_ ABSL_GUARDED_BY(mutex_);
};

// One connection's part in them. A pointer; on the worker's loop.
class TcpSeries {
 public:
  // Nothing is counted before this. Once.
  void Open(LabelledCounters::Shard* shard, const TcpLabelValues& values);
  bool opened() const { return set_ != nullptr; }
  void AddBytes(uint64_t sent, uint64_t received);
  // `flags` as ResponseFlagsOf.
  void Close(LabelledCounters::Shard* shard, absl::string_view flags);

 private:
  LabelledCounters::Set* set_ = nullptr;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TCP_METRICS_H_
