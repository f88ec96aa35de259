#include "controlplane/trust/trust_record.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

// How long a process that still has the former cap may run beside one that has the new: replicas
// are replaced one after the other.
constexpr absl::Duration kReplacement = absl::Minutes(10);

absl::Status Damaged(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the trust record in the store is damaged: ", what, "; restore the store from a backup"));
}

absl::Status CheckRoot(const RootRecord& root, absl::string_view which) {
  if (root.id.size() != 64 || root.certificate_der.empty() || root.stored_key.empty()) {
    return Damaged(absl::StrCat("the ", which, " root is not whole"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view RotationStepName(RotationStep step) {
  switch (step) {
    case RotationStep::kPrepared:
      return "prepared";
    case RotationStep::kDistributed:
      return "distributed";
    case RotationStep::kActive:
      return "active";
    case RotationStep::kTainted:
      return "tainted";
  }
  return "unknown";
}

std::string KeyRecordName(absl::string_view root_id) { return absl::StrCat("root ", root_id); }

absl::Status CheckTrustRecord(const TrustRecord& record) {
  if (record.trust_domain.empty()) return Damaged("there is no trust domain");
  absl::Status root = CheckRoot(record.current, "current");
  if (!root.ok()) return root;
  if (!record.rotation.has_value()) return absl::OkStatus();
  const RotationRecord& rotation = *record.rotation;
  root = CheckRoot(rotation.next, "next");
  if (!root.ok()) return root;
  if (rotation.next.id == record.current.id) return Damaged("both roots are the same");
  if (rotation.step >= RotationStep::kDistributed && !rotation.distributed_at.has_value()) {
    return Damaged("nobody knows when the next root was distributed");
  }
  if (rotation.step >= RotationStep::kActive && !rotation.activated_at.has_value()) {
    return Damaged("nobody knows when the next root began to sign");
  }
  return absl::OkStatus();
}

bool SetLifeCap(absl::Duration life, absl::Time now, TrustRecord* record) {
  std::vector<LifeCap>& caps = record->life_caps;
  if (!caps.empty() && caps.back().until == absl::InfiniteFuture()) {
    if (caps.back().life == life) return false;
    caps.back().until = now + kReplacement;
  }
  caps.erase(std::remove_if(caps.begin(), caps.end(),
                            [now](const LifeCap& cap) { return cap.until + cap.life < now; }),
             caps.end());
  caps.push_back({life, absl::InfiniteFuture()});
  return true;
}

absl::Time LatestEnd(const TrustRecord& record, absl::Time issued) {
  absl::Time latest = absl::InfinitePast();
  for (const LifeCap& cap : record.life_caps) {
    latest = std::max(latest, std::min(cap.until, issued) + cap.life);
  }
  return latest;
}

}  // namespace byrnie
