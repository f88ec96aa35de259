#include "proxy/outlier_detector.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "common/base/check.h"

namespace byrnie {

OutlierDetector::OutlierDetector(EventLoop* loop, const Options& options, const Metrics& metrics,
                                 absl::BitGenRef random)
    : loop_(loop),
      options_(options),
      metrics_(metrics),
      random_(random),
      timer_(loop->NewTimer([this] { OnTimer(); })) {}

OutlierDetector::~OutlierDetector() {
  for (auto& [endpoint, record] : records_) Restore(&record);
}

bool OutlierDetector::Ejected(const SocketAddress& endpoint) const {
  if (records_.empty()) return false;
  const auto found = records_.find(endpoint);
  if (found == records_.end()) return false;
  const Record& record = found->second;
  return IsOut(record) || record.tried_until > loop_->Now();
}

bool OutlierDetector::IsOut(const Record& record) const {
  // The timer may be about to say that the time is over.
  return record.ejected && record.until > loop_->Now();
}

void OutlierDetector::OnAttempt(const SocketAddress& endpoint) {
  if (records_.empty()) return;
  const auto found = records_.find(endpoint);
  if (found == records_.end() || IsOut(found->second)) return;
  found->second.tried_until = loop_->Now() + options_.trial;
}

void OutlierDetector::OnSuccess(const SocketAddress& endpoint) {
  if (records_.empty()) return;
  const auto found = records_.find(endpoint);
  if (found == records_.end()) return;
  Restore(&found->second);
  records_.erase(found);
  ArmTimer();
}

void OutlierDetector::OnFailure(const SocketAddress& endpoint) {
  DCHECK(loop_->InLoopThread());
  if (records_.size() >= options_.max_endpoints && !records_.contains(endpoint)) return;
  Record& record = records_[endpoint];
  if (IsOut(record)) return;
  record.tried_until = absl::ZeroDuration();
  ++record.failures;
  if (!record.ejected && metrics_.ejected != nullptr) metrics_.ejected->Add(1);
  if (metrics_.ejections != nullptr) metrics_.ejections->Increment();
  record.ejected = true;
  record.until = loop_->Now() + DurationOf(record.failures);
  ArmTimer();
}

absl::Duration OutlierDetector::DurationOf(uint32_t failures) {
  absl::Duration duration = options_.base;
  for (uint32_t i = 1; i < failures && duration < options_.max; ++i) duration *= 2;
  duration = std::min(duration, options_.max);
  duration *= absl::Uniform(random_, 1 - options_.jitter, 1 + options_.jitter);
  // Timers count whole nanoseconds: one at a fraction would fire before its time, again and again.
  return absl::Trunc(std::min(duration, options_.max), absl::Microseconds(1));
}

void OutlierDetector::Restore(Record* record) {
  if (!record->ejected) return;
  record->ejected = false;
  if (metrics_.ejected != nullptr) metrics_.ejected->Add(-1);
}

void OutlierDetector::OnTimer() {
  const absl::Duration now = loop_->Now();
  for (auto it = records_.begin(); it != records_.end();) {
    Record& record = it->second;
    if (record.until > now) {
      ++it;
    } else if (record.ejected) {
      Restore(&record);
      // On trial: an endpoint that nobody tries for so long may have changed.
      record.until = now + options_.max;
      ++it;
    } else {
      records_.erase(it++);
    }
  }
  ArmTimer();
}

void OutlierDetector::ArmTimer() {
  if (records_.empty()) {
    timer_->Cancel();
    return;
  }
  absl::Duration first = absl::InfiniteDuration();
  for (const auto& [endpoint, record] : records_) first = std::min(first, record.until);
  timer_->Schedule(std::max(first - loop_->Now(), absl::ZeroDuration()));
}

std::vector<OutlierDetector::EndpointView> OutlierDetector::View() const {
  std::vector<EndpointView> views;
  for (const auto& [endpoint, record] : records_) {
    EndpointView view;
    view.endpoint = endpoint.ToString();
    view.failures = record.failures;
    if (record.ejected) {
      view.ejected_for = std::max(record.until - loop_->Now(), absl::ZeroDuration());
    }
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const EndpointView& a, const EndpointView& b) { return a.endpoint < b.endpoint; });
  return views;
}

}  // namespace byrnie
