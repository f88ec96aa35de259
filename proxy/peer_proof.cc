#include "proxy/peer_proof.h"

#include <algorithm>

#include "common/identity/svid_verifier.h"
#include "proxy/end_reason.h"

namespace byrnie {
namespace {

constexpr double kLeastShare = 1.0 / 8;
constexpr double kMostShare = 1.0 / 4;
// Where no end is known.
constexpr int kRetriesPerLead = 4;
// For a few attempts that are answered late, where the certificate lives long enough for that.
constexpr absl::Duration kLeastLead = absl::Seconds(10);
// As often as anybody looks.
constexpr absl::Duration kShortestRetry = absl::Seconds(1);

}  // namespace

void OwnProof::Extend(absl::Time until) {
  const int64_t wanted = absl::ToUnixNanos(until);
  int64_t known = until_.load(std::memory_order_relaxed);
  while (known < wanted &&
         !until_.compare_exchange_weak(known, wanted, std::memory_order_relaxed)) {
  }
}

absl::Time PeerProof::End(absl::Time now) const {
  return own_until_ <= now ? until() : std::min(own_until_, until());
}

void PeerProof::Plan(absl::Time end, absl::Time now) {
  planned_ = end;
  waits_for_own_ = false;
  // Not a share of the certificate's life: whose clock it was issued by does not matter so, nor how
  // much of it had gone when it was shown.
  const absl::Duration left = std::max(end - now, absl::ZeroDuration());
  const absl::Duration lead = std::max(left * share_, std::min(left / 2, kLeastLead));
  renew_at_ = end - lead;
  retry_ = std::max(lead / kRetriesPerLead, kShortestRetry);
}

void PeerProof::Take(const Handshake& handshake, absl::Time now, double random) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (handshake.generation < judged_by_) return;
  SvidDefect ignored;
  const bool keep = handshake.until < until() &&
                    (handshake.generation == judged_by_ ||
                     ReverifySvid(chain_, handshake.bundles, until(), now, &ignored).ok());
  if (!keep) {
    chain_ = handshake.chain;
    lost_ = {};
    until_.store(absl::ToUnixNanos(handshake.until), std::memory_order_relaxed);
  }
  judged_by_ = handshake.generation;
  own_until_ = std::max(own_until_, handshake.own_until);
  // One that changes nothing does not put off what is due.
  const absl::Time end = End(now);
  if (end == planned_) return;
  share_ = kLeastShare + (kMostShare - kLeastShare) * random;
  Plan(end, now);
}

absl::string_view PeerProof::Judge(const TrustBundleSet& bundles, uint64_t generation,
                                   absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (generation <= judged_by_) return lost_;
  judged_by_ = generation;
  if (!lost_.empty()) return lost_;
  SvidDefect defect;
  if (ReverifySvid(chain_, bundles, until(), now, &defect).ok()) return {};
  lost_ = end_reason::For(defect);
  chain_.clear();
  until_.store(absl::ToUnixNanos(absl::InfinitePast()), std::memory_order_relaxed);
  // The peer may have another certificate already.
  planned_ = absl::InfinitePast();
  renew_at_ = now;
  return lost_;
}

absl::Time PeerProof::renew_at() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return renew_at_;
}

bool PeerProof::IsDue(absl::Time now) const {
  return now >= renew_at_ || (waits_for_own_ && own_->until() > own_until_);
}

bool PeerProof::BeginRenewal(absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (renewing_ || !IsDue(now)) return false;
  const absl::Time end = End(now);
  if (end != planned_ && end > now) {
    // The peer does not end its connections for the end of what it was shown.
    Plan(end, now);
    if (now < renew_at_) return false;
  }
  // Denser towards the end: whatever was in the way may be gone for the last few seconds alone.
  renew_at_ = now + (planned_ > now ? std::max((planned_ - now) / 2, kShortestRetry) : retry_);
  waits_for_own_ = own_until_ > now && own_until_ <= until() && own_->until() <= own_until_;
  if (waits_for_own_) return false;
  renewing_ = true;
  began_with_ = std::min(own_until_, until());
  return true;
}

PeerProof::Renewal PeerProof::EndRenewal(const absl::Status& handshake) {
  const std::lock_guard<std::mutex> lock(mutex_);
  renewing_ = false;
  if (std::min(own_until_, until()) > began_with_) return Renewal::kRenewed;
  return handshake.ok() ? Renewal::kUnchanged : Renewal::kFailed;
}

}  // namespace byrnie
