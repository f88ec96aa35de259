#include "certagent/endpoint_set.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "common/base/check.h"
#include "common/base/retry_after.h"

namespace byrnie {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Minutes(1);
constexpr double kSpread = 0.5;

// Whether the endpoint, and not what was asked of it, is what failed.
bool IsEndpointsFault(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

EndpointSet::EndpointSet(const std::string& service, std::vector<std::string> targets,
                         MetricRegistry* metrics, absl::BitGenRef random)
    : random_(random) {
  CHECK(!targets.empty());
  std::shuffle(targets.begin() + 1, targets.end(), random_);
  for (std::string& target : targets) {
    Endpoint endpoint;
    const MetricLabels labels = {{"service", service}, {"endpoint", target}};
    endpoint.in_use = metrics->AddGauge(
        "byrnie_certagent_endpoint_in_use",
        "1 for the address of the certificate authority or control plane that is used.", labels);
    endpoint.failed = metrics->AddCounter(
        "byrnie_certagent_endpoint_failures_total",
        "Calls and streams that failed, by the address of the authority or control plane.", labels);
    endpoint.target = std::move(target);
    endpoints_.push_back(std::move(endpoint));
  }
  SetPreferred(0);
}

size_t EndpointSet::Choose(absl::Duration now) const {
  size_t first_free = preferred_;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    const size_t index = (preferred_ + i) % endpoints_.size();
    if (endpoints_[index].free_at <= now) return index;
    if (endpoints_[index].free_at < endpoints_[first_free].free_at) first_free = index;
  }
  return first_free;
}

void EndpointSet::OnCallEnded(size_t index, const absl::Status& status, absl::Duration now) {
  Endpoint& endpoint = endpoints_[index];
  if (!IsEndpointsFault(status)) {
    endpoint.failures = 0;
    endpoint.free_at = now;
    SetPreferred(index);
    return;
  }
  endpoint.failed->Increment();
  // Several streams of one connection fail together, once.
  if (endpoint.failures > 0 && now < endpoint.free_at) return;
  absl::Duration pause =
      std::min(kFirstPause * (1 << std::min(endpoint.failures, 6)), kLongestPause);
  pause *= 1 + kSpread * absl::Uniform<double>(random_, 0, 1);
  ++endpoint.failures;
  endpoint.free_at = now + std::max(pause, RetryAfter(status).value_or(absl::ZeroDuration()));
  // Not back to it as soon as its pause is over: whoever has not been tried may work.
  for (size_t i = 1; index == preferred_ && i < endpoints_.size(); ++i) {
    const size_t next = (index + i) % endpoints_.size();
    if (endpoints_[next].free_at <= now) SetPreferred(next);
  }
}

bool EndpointSet::HasAnother(size_t index, absl::Duration now) const {
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    if (i != index && endpoints_[i].free_at <= now) return true;
  }
  return false;
}

absl::Duration EndpointSet::PatienceWith(size_t index, absl::Duration longest,
                                         absl::Duration now) const {
  if (!HasAnother(index, now)) return longest;
  return std::min(longest, absl::Seconds(absl::Uniform<double>(random_, 2.5, 3.5)));
}

void EndpointSet::SetPreferred(size_t index) {
  endpoints_[preferred_].in_use->Set(0);
  preferred_ = index;
  endpoints_[preferred_].in_use->Set(1);
}

}  // namespace byrnie
