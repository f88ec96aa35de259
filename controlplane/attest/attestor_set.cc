#include "controlplane/attest/attestor_set.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr char kName[] = "byrnie_controlplane_attestations_total";
constexpr char kHelp[] = "Credentials that were presented, by attestor and by what became of them.";

Counter* Result(MetricRegistry* metrics, absl::string_view attestor, absl::string_view result) {
  return metrics->AddCounter(
      kName, kHelp, {{"attestor", std::string(attestor)}, {"result", std::string(result)}});
}

}  // namespace

AttestorSet::AttestorSet(std::vector<Attestor*> attestors, MetricRegistry* metrics)
    : unrecognized_(Result(metrics, "none", RefusalReasonName(RefusalReason::kUnrecognized))) {
  for (Attestor* attestor : attestors) {
    Member member{attestor,
                  Result(metrics, attestor->name(), "accepted"),
                  Result(metrics, attestor->name(), "failed"),
                  {}};
    for (int reason = 0; reason < kRefusalReasons; ++reason) {
      member.refused.push_back(
          Result(metrics, attestor->name(), RefusalReasonName(static_cast<RefusalReason>(reason))));
    }
    members_.push_back(std::move(member));
  }
}

absl::StatusOr<AttestorSet::Proven> AttestorSet::Check(absl::string_view credential,
                                                       const Attestor::Caller& caller) const {
  std::string why;
  for (size_t i = 0; i < members_.size(); ++i) {
    absl::StatusOr<Attestor::Claim> claim = members_[i].attestor->Check(credential, caller);
    if (claim.ok()) return Proven{*std::move(claim), i};
    if (!absl::IsNotFound(claim.status())) {
      Count(members_[i], claim.status());
      return claim.status();
    }
    absl::StrAppend(&why, why.empty() ? "" : "; ", claim.status().message());
  }
  unrecognized_->Increment();
  return RefuseCredential(RefusalReason::kUnrecognized, why);
}

absl::StatusOr<bool> AttestorSet::RedeemNoting(const Proven& proven, const StoreEntry& note) const {
  const Member& member = members_[proven.attestor];
  absl::StatusOr<bool> redeemed = member.attestor->RedeemNoting(proven.claim, note);
  Count(member, redeemed.status());
  return redeemed;
}

void AttestorSet::Restore(const Proven& proven) const {
  members_[proven.attestor].attestor->Restore(proven.claim);
}

void AttestorSet::Count(const Member& member, const absl::Status& status) {
  RefusalReason reason;
  if (status.ok()) {
    member.accepted->Increment();
  } else if (IsRefusedCredential(status, &reason)) {
    member.refused[static_cast<size_t>(reason)]->Increment();
  } else {
    member.failed->Increment();
  }
}

}  // namespace byrnie
