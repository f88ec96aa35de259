#include "controlplane/ca/issue_limiter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"

namespace byrnie {
namespace {

// Of the rate; the rest is for those who come for the first time.
constexpr double kPartForRetries = 0.8;
// Of what may be admitted at once, so much is kept for those in a hurry.
constexpr double kPartForUrgent = 0.5;
// Admitted at once at any rate: of fewer nothing could be kept for those in a hurry, and two who
// happen to come together are no overload.
constexpr double kLeastBurst = 4;
constexpr absl::Duration kSweepInterval = absl::Seconds(10);
// Who has so little of kNoHurry left is admitted however long the queue is.
constexpr double kAlwaysAdmitted = 0.05;
// A machine that serves fewer in a second is not what a queue is about.
constexpr double kSlowestPace = 10;

absl::Status Refuse(absl::string_view why, absl::Duration wait, const IssueLimiter::Asker& asker) {
  absl::Status refused = absl::ResourceExhaustedError(absl::StrCat(why, "; come back later"));
  // Later than half of what is left nobody should ask again; a second is what a client's own first
  // retry waits.
  if (asker.left.has_value() && *asker.left > absl::ZeroDuration()) {
    wait = std::min(wait, std::max(*asker.left / 2, absl::Duration(absl::Seconds(1))));
  }
  SetRetryAfter(&refused, wait);
  return refused;
}

// Of kNoHurry, from 0 to 1.
double LeftOf(const IssueLimiter::Asker& asker) {
  const absl::Duration none = IssueLimiter::kFirstCertificate, most = IssueLimiter::kNoHurry;
  const absl::Duration left = asker.left.value_or(none);
  return absl::FDivDuration(std::clamp(left, absl::ZeroDuration(), most), most);
}

}  // namespace

constexpr absl::Duration IssueLimiter::kLongestWait;
constexpr absl::Duration IssueLimiter::kNoHurry;
constexpr absl::Duration IssueLimiter::kFirstCertificate;
constexpr absl::Duration IssueLimiter::kShortQueue;
constexpr absl::Duration IssueLimiter::kLongQueue;

IssueLimiter::IssueLimiter(double per_second, double per_identity)
    : per_second_(per_second),
      burst_(std::max(per_second / 10, kLeastBurst)),
      per_identity_(per_identity),
      identity_burst_(std::max(per_identity, 1.0)) {
  all_.tokens = burst_;
}

void IssueLimiter::Bucket::Refill(absl::Duration now, double per_second, double most) {
  if (refilled > -absl::InfiniteDuration()) {
    tokens += absl::ToDoubleSeconds(now - refilled) * per_second;
  }
  refilled = now;
  tokens = std::min(tokens, most);
}

void IssueLimiter::Pace::Roll(absl::Duration now) {
  if (now - since < absl::Seconds(1)) return;
  before = count / absl::ToDoubleSeconds(now - since);
  since = now;
  count = 0;
}

// Of a storm that has just begun, the second before says nothing.
double IssueLimiter::Pace::PerSecond(absl::Duration now) const {
  const absl::Duration lasted = std::max(now - since, absl::Duration(kShortQueue));
  return std::max({before, count / absl::ToDoubleSeconds(lasted), kSlowestPace});
}

double IssueLimiter::NeededFor(const Asker& asker) const {
  return 1 + (burst_ - 1) * kPartForUrgent * LeftOf(asker);
}

absl::Duration IssueLimiter::NextSlot(absl::Duration now, double per_second) {
  // Not sooner than a second, which is what a client's own first retry waits.
  last_slot_ = std::max(last_slot_, now + absl::Seconds(1)) +
               absl::Seconds(1) / (per_second * kPartForRetries);
  last_slot_ = std::min(last_slot_, now + kLongestWait);
  return last_slot_ - now;
}

absl::Status IssueLimiter::AdmitFromQueue(absl::Duration now, const Asker& asker) {
  const double queue = absl::FDivDuration(asker.waited - kShortQueue, kLongQueue - kShortQueue);
  if (queue <= 0 || LeftOf(asker) <= std::max(1 - queue, kAlwaysAdmitted)) return absl::OkStatus();
  double pace = pace_.PerSecond(now);
  if (per_second_ > 0) pace = std::min(pace, per_second_);
  return Refuse(
      absl::StrCat("more of these are asked for than can be served, this one has waited ",
                   absl::FormatDuration(absl::Trunc(asker.waited, absl::Milliseconds(1)))),
      NextSlot(now, pace), asker);
}

absl::Status IssueLimiter::Admit(absl::Duration now, const Asker& asker) {
  absl::MutexLock lock(&mu_);
  pace_.Roll(now);
  Bucket* own = nullptr;
  absl::Status admitted = AdmitIdentity(now, asker, &own);
  if (admitted.ok()) admitted = AdmitFromQueue(now, asker);
  if (!admitted.ok()) return admitted;
  if (per_second_ > 0) {
    all_.Refill(now, per_second_, burst_);
    if (all_.tokens < NeededFor(asker)) {
      return Refuse(absl::StrCat("more than ", per_second_, " of these are asked for in a second"),
                    NextSlot(now, per_second_), asker);
    }
    all_.tokens -= 1;
  }
  if (own != nullptr) own->tokens -= 1;
  pace_.count += 1;
  return absl::OkStatus();
}

absl::Status IssueLimiter::AdmitIdentity(absl::Duration now, const Asker& asker, Bucket** bucket) {
  if (per_identity_ <= 0 || asker.identity.empty()) return absl::OkStatus();
  Sweep(now);
  const auto [it, inserted] = by_identity_.try_emplace(asker.identity);
  if (inserted) it->second.tokens = identity_burst_;
  it->second.Refill(now, per_identity_, identity_burst_);
  *bucket = &it->second;
  if (it->second.tokens >= 1) return absl::OkStatus();
  const absl::Duration wait =
      std::clamp(absl::Seconds((1 - it->second.tokens) / per_identity_),
                 absl::Duration(absl::Seconds(1)), absl::Duration(kLongestWait));
  return Refuse(absl::StrCat("more than ", per_identity_, " of these are for ", asker.identity,
                             " asked for in a second"),
                wait, asker);
}

void IssueLimiter::Sweep(absl::Duration now) {
  if (now < next_sweep_) return;
  next_sweep_ = now + kSweepInterval;
  for (auto it = by_identity_.begin(); it != by_identity_.end();) {
    it->second.Refill(now, per_identity_, identity_burst_);
    if (it->second.tokens >= identity_burst_) {
      by_identity_.erase(it++);
    } else {
      ++it;
    }
  }
}

size_t IssueLimiter::identities() const {
  absl::MutexLock lock(&mu_);
  return by_identity_.size();
}

}  // namespace byrnie
