#include "controlplane/server/server_identity.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/crypto/private_key.h"

namespace byrnie {

absl::StatusOr<std::unique_ptr<ServerIdentity>> ServerIdentity::Create(
    const Authority* authority, const Clock* clock, absl::Duration ttl,
    std::vector<std::string> dns_names, IssuanceLog* log) {
  auto identity =
      absl::WrapUnique(new ServerIdentity(authority, clock, ttl, std::move(dns_names), log));
  RETURN_IF_ERROR(identity->Rotate());
  return identity;
}

std::shared_ptr<const ServerIdentity::Snapshot> ServerIdentity::current() const {
  absl::MutexLock lock(&mu_);
  return current_;
}

absl::StatusOr<bool> ServerIdentity::RotateIfDue() {
  const std::shared_ptr<const Snapshot> present = current();
  const AuthoritySnapshotPtr authority = authority_->snapshot();
  const SigningAuthority& signer = *authority->server_signer;
  const absl::Time now = clock_->WallNow();
  // Before the CA's own time the next one would be no better.
  const bool early = now < present->not_before && signer.not_before() <= now;
  const bool fits = !early && now < present->renew_after;
  if (fits && present->signer == signer.issuer().FingerprintHex()) return false;
  RETURN_IF_ERROR(Rotate());
  return true;
}

absl::Status ServerIdentity::Rotate() {
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> key, PrivateKey::Generate());
  auto next = std::make_shared<Snapshot>();
  // Before it signs: should another one do so by then, this is made again.
  next->signer = authority_->snapshot()->server_signer->issuer().FingerprintHex();
  ASSIGN_OR_RETURN(IssuedSvid issued,
                   authority_->IssueForControlPlane(key->PublicKeyDer(), ttl_, dns_names_));
  for (const CertificatePtr& certificate : issued.chain) {
    absl::StrAppend(&next->chain_pem, certificate->ToPem());
  }
  next->key_pem = key->ToPem();
  next->serial = issued.chain.front()->SerialHex();
  next->not_before = issued.chain.front()->not_before();
  next->not_after = issued.chain.front()->not_after();
  next->renew_after = issued.renew_after;
  if (log_ != nullptr) {
    IssuanceRecord record;
    record.issued_at = issued.issued_at;
    record.serial = next->serial;
    ASSIGN_OR_RETURN(const SpiffeId id, ControlPlaneId(authority_->trust_domain()));
    record.identity = id.text();
    record.proof = kOwnProof;
    record.subject = absl::StrJoin(dns_names_, ",");
    record.root = issued.root_id;
    record.not_after = next->not_after;
    // It is used at once, and the loop that renews it waits for no store.
    log_->AppendLater(std::move(record));
  }
  absl::MutexLock lock(&mu_);
  next->generation = current_ == nullptr ? 1 : current_->generation + 1;
  current_ = std::move(next);
  return absl::OkStatus();
}

void ServerIdentity::KeepCurrent(absl::string_view whose, const Revocations& revocations,
                                 Logger* logger) {
  absl::StatusOr<bool> rotated = RotateIfDue();
  if (rotated.ok() && !*rotated && revocations.IsRevoked(current()->serial)) {
    const absl::Status replaced = Rotate();
    if (replaced.ok()) {
      rotated = true;
    } else {
      rotated = replaced;
    }
  }
  if (rotated.ok()) {
    failures_said_.Reset();
    if (!*rotated) return;
    logger->Info("own certificate renewed",
                 {{"certificate_of", whose}, {"serial", current()->serial}});
    return;
  }
  const absl::optional<uint64_t> unsaid =
      failures_said_.Admit(rotated.status().message(), clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  logger->Error(
      "cannot renew an own certificate",
      {{"certificate_of", whose}, {"error", rotated.status().message()}, {"not_logged", *unsaid}});
}

}  // namespace byrnie
