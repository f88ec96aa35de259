#include "proxy/tcp_metrics.h"

#include <algorithm>
#include <string>

namespace byrnie {
namespace {

enum TcpCounter : size_t { kOpened, kClosed, kSent, kReceived, kTcpCounters };
static_assert(kTcpCounters <= LabelledCounters::kMaxCounters, "counters of a set");

// Most of what the proxy's own metrics have: a reason may occur with each direction and result, and
// each stage is a histogram of both directions.
constexpr size_t kOwnSeries = 600;

size_t LimitOf(size_t max_series, size_t workers) {
  const size_t left = max_series > kOwnSeries ? max_series - kOwnSeries : 0;
  // Each worker may need a set for what is beyond the limit.
  const size_t sets = left / kTcpCounters;
  return sets > workers ? sets - workers : 0;
}

}  // namespace

TcpMetrics::TcpMetrics(MetricRegistry* registry, size_t max_series, size_t workers)
    : counters_(kTcpLabels, LimitOf(max_series, workers), workers) {
  const auto add = [this, registry](absl::string_view name, absl::string_view help,
                                    TcpCounter counter) {
    registry->AddCounterCollector(name, help,
                                  [this, counter](CounterSink sink) { Collect(counter, sink); });
  };
  add("istio_tcp_connections_opened_total",
      "Istio's standard metric: connections opened, by who talks to whom", kOpened);
  add("istio_tcp_connections_closed_total",
      "Istio's standard metric: connections closed, by who talks to whom", kClosed);
  add("istio_tcp_sent_bytes_total",
      "Istio's standard metric: bytes sent in answer, from the destination to the source", kSent);
  add("istio_tcp_received_bytes_total",
      "Istio's standard metric: bytes received as request, from the source to the destination",
      kReceived);
  registry->AddCounterCollector(
      "byrnie_proxy_series_folded_total",
      "Times a connection was counted in istio_tcp_* with labels \"unknown\", because there were "
      "--metrics_series already",
      [this](CounterSink sink) { sink("", counters_.folded()); });
}

void TcpMetrics::TakeNew() {
  for (const LabelledCounters::Set* set : counters_.TakeNew(&taken_)) {
    MetricLabels labels;
    labels.reserve(kTcpLabels);
    for (size_t label = 0; label < kTcpLabels; ++label) {
      labels.emplace_back(NameOf(static_cast<TcpLabel>(label)), set->values()[label]);
    }
    Series& series = series_[RenderLabels(labels)];
    series.sets.push_back(set);
    series.ends_only = set->values()[kResponseFlags] != "-";
  }
}

void TcpMetrics::Collect(size_t counter, CounterSink sink) {
  absl::MutexLock lock(&mutex_);
  TakeNew();
  for (const auto& [labels, series] : series_) {
    uint64_t count = 0;
    for (const LabelledCounters::Set* set : series.sets) count += set->count(counter);
    // With flags there are only ends.
    if (count == 0 && series.ends_only) continue;
    sink(labels, count);
  }
}

void TcpSeries::Open(LabelledCounters::Shard* shard, const TcpLabelValues& values) {
  set_ = shard->Find(values);
  set_->Add(kOpened, 1);
}

void TcpSeries::AddBytes(uint64_t sent, uint64_t received) {
  if (set_ == nullptr) return;
  set_->Add(kSent, sent);
  set_->Add(kReceived, received);
}

void TcpSeries::Close(LabelledCounters::Shard* shard, absl::string_view flags) {
  if (set_ == nullptr) return;
  LabelledCounters::Set* set = set_;
  if (set->values()[kResponseFlags] != flags) {
    TcpLabelValues values;
    std::copy(set->values().begin(), set->values().end(), values.begin());
    values[kResponseFlags] = flags;
    set = shard->Find(values);
  }
  set->Add(kClosed, 1);
  set_ = nullptr;
}

}  // namespace byrnie
