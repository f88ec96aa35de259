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
constexpr absl::Duration kSweepInterval = absl::Seconds(10);

absl::Status Refuse(absl::string_view why, absl::Duration wait, const IssueLimiter::Asker& asker) {
  absl::Status refused =
      absl::ResourceExhaustedError(absl::StrCat(why, " asked for in a second; come back later"));
  // Later than half of what is left nobody should ask again; a second is what a client's own first
  // retry waits.
  if (asker.left.has_value() && *asker.left > absl::ZeroDuration()) {
    wait = std::min(wait, std::max(*asker.left / 2, absl::Duration(absl::Seconds(1))));
  }
  SetRetryAfter(&refused, wait);
  return refused;
}

}  // namespace

constexpr absl::Duration IssueLimiter::kLongestWait;
constexpr absl::Duration IssueLimiter::kNoHurry;
constexpr absl::Duration IssueLimiter::kFirstCertificate;

IssueLimiter::IssueLimiter(double per_second, double per_identity)
    : per_second_(per_second),
      burst_(std::max(per_second / 10, 1.0)),
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

double IssueLimiter::NeededFor(const Asker& asker) const {
  const absl::Duration left = std::clamp(asker.left.value_or(kFirstCertificate),
                                         absl::ZeroDuration(), absl::Duration(kNoHurry));
  return 1 + (burst_ - 1) * kPartForUrgent * absl::FDivDuration(left, kNoHurry);
}

absl::Status IssueLimiter::Admit(absl::Duration now, const Asker& asker) {
  if (per_second_ <= 0 && per_identity_ <= 0) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  Bucket* own = nullptr;
  const absl::Status admitted = AdmitIdentity(now, asker, &own);
  if (!admitted.ok()) return admitted;
  if (per_second_ > 0) {
    all_.Refill(now, per_second_, burst_);
    if (all_.tokens < NeededFor(asker)) {
      // Not sooner than a second, which is what a client's own first retry waits.
      last_slot_ = std::max(last_slot_, now + absl::Seconds(1)) +
                   absl::Seconds(1) / (per_second_ * kPartForRetries);
      last_slot_ = std::min(last_slot_, now + kLongestWait);
      return Refuse(absl::StrCat("more than ", per_second_, " of these are"), last_slot_ - now,
                    asker);
    }
    all_.tokens -= 1;
  }
  if (own != nullptr) own->tokens -= 1;
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
  return Refuse(absl::StrCat("more than ", per_identity_, " of these are for ", asker.identity),
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
