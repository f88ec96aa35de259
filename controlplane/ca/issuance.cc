#include "controlplane/ca/issuance.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/csr.h"
#include "common/grpc/peer_address.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/audit/issuance_codec.h"
#include "controlplane/peer/peer_identity.h"

namespace byrnie {

Issuance::Issuance(const Authority* authority, const AttestorSet* attestors,
                   const TrustBundleSource* bundles, absl::Duration workload_ttl, double issue_rate,
                   AgentTable* agents, const Clock* clock, Logger* logger, MetricRegistry* metrics,
                   double identity_issue_rate, IssuanceLog* log, KeyTypes key_types)
    : authority_(authority),
      attestors_(attestors),
      bundles_(bundles),
      workload_ttl_(workload_ttl),
      key_types_(std::move(key_types)),
      limiter_(issue_rate, identity_issue_rate),
      agents_(agents),
      clock_(clock),
      logger_(logger),
      log_(log),
      results_(metrics, "byrnie_controlplane_issuances_total",
               "Requests for a certificate, by result.") {}

absl::StatusOr<IssuedSvid> Issuance::Issue(const grpc::ServerContextBase& context,
                                           absl::string_view protocol, absl::Duration arrived,
                                           RequestReader read) {
  absl::StatusOr<IssuedSvid> issued = TryIssue(context, protocol, arrived, read);
  results_.Count(issued.status());
  if (issued.ok()) return issued;
  // Of those that are only to come back there are thousands at once, after an outage; the counter
  // tells.
  if (!absl::IsResourceExhausted(issued.status())) {
    NoteRefused(issued.status(), protocol, PeerAddress(context.peer()));
  }
  if (IsRefusedCredential(issued.status(), nullptr)) {
    return absl::UnauthenticatedError(kCredentialRefused);
  }
  return issued;
}

absl::StatusOr<IssuedSvid> Issuance::TryIssue(const grpc::ServerContextBase& context,
                                              absl::string_view protocol, absl::Duration arrived,
                                              RequestReader read) {
  const absl::Duration waited = Now() - arrived;
  ASSIGN_OR_RETURN(Caller caller, Authenticate(context));
  // After that, so that nobody without a proof takes anybody's place.
  RETURN_IF_ERROR(limiter_.Admit(Now(), {caller.id.text(), caller.left, waited}));
  ASSIGN_OR_RETURN(CertificateRequest request, read(caller.id));
  ASSIGN_OR_RETURN(std::string public_key, VerifyCsr(request.csr, key_types_));
  ASSIGN_OR_RETURN(IssuedSvid issued,
                   authority_->Issue(caller.id, public_key, request.ttl, workload_ttl_));
  RETURN_IF_ERROR(NoteIssued(caller, issued, protocol, PeerAddress(context.peer())));
  return issued;
}

absl::StatusOr<Issuance::Caller> Issuance::Authenticate(
    const grpc::ServerContextBase& context) const {
  ASSIGN_OR_RETURN(absl::optional<PeerIdentity> peer,
                   VerifyPeer(*context.auth_context(), *bundles_->bundles(),
                              authority_->trust_domain(), clock_->WallNow()));
  if (peer.has_value()) {
    if (IsReservedPath(peer->id.path())) {
      return absl::PermissionDeniedError(
          absl::StrCat(peer->id.text(), " is reserved for the mesh itself"));
    }
    return Caller{std::move(peer->id), "svid", std::move(peer->serial),
                  peer->not_after - clock_->WallNow(), absl::nullopt};
  }
  ASSIGN_OR_RETURN(const absl::string_view credential, BearerToken(context));
  if (credential.empty()) {
    return absl::UnauthenticatedError(
        "there is neither a client certificate nor a token; give one of them");
  }
  ASSIGN_OR_RETURN(
      AttestorSet::Proven proven,
      attestors_->Check(credential, {absl::FromChrono(context.deadline()),
                                     PeerSource(context.peer()), PeerIp(context.peer())}));
  SpiffeId id = proven.claim.id;
  std::string proof = proven.claim.proof;
  return Caller{std::move(id), std::move(proof), "", absl::nullopt, std::move(proven)};
}

absl::Status Issuance::NoteIssued(const Caller& caller, const IssuedSvid& issued,
                                  absl::string_view protocol, const std::string& address) {
  const Certificate& leaf = *issued.chain.front();
  IssuanceRecord record;
  record.issued_at = issued.issued_at;
  record.serial = leaf.SerialHex();
  record.identity = caller.id.text();
  record.proof = caller.proof;
  record.subject = caller.credential.has_value() ? caller.credential->claim.subject : "";
  record.protocol = std::string(protocol);
  record.address = address;
  record.root = issued.root_id;
  record.not_after = leaf.not_after();
  record.replaces = caller.serial;
  // The answer has these or newer ones.
  record.newest_root = bundles_->NewestRoot(authority_->trust_domain());
  // Before anybody can have it, so that a rotation never misses one.
  agents_->holders()->OnIssued({record.serial, record.identity, record.root, record.issued_at,
                                record.not_after, 0, record.newest_root},
                               record.replaces);
  const absl::Status handed_out = RedeemAndLog(caller, std::move(record));
  if (!handed_out.ok()) {
    agents_->holders()->OnWithheld(leaf.SerialHex());
    return handed_out;
  }
  agents_->OnIssued(caller.id, leaf.SerialHex(), leaf.not_after(), issued.issued_at, caller.proof,
                    address);
  logger_->Info("certificate issued",
                {{"identity", caller.id.text()},
                 {"serial", leaf.SerialHex()},
                 {"not_after", UtcText(leaf.not_after())},
                 {"proof", caller.proof},
                 {"subject", caller.credential.has_value() ? caller.credential->claim.subject : ""},
                 {"protocol", protocol},
                 {"address", address}});
  return absl::OkStatus();
}

// The credential goes last, so that whatever failed before leaves it usable, and with the entry in
// the log, so that neither is there without the other. Who loses the race for it gets nothing.
absl::Status Issuance::RedeemAndLog(const Caller& caller, IssuanceRecord record) {
  if (caller.credential.has_value()) {
    StoreEntry note;
    if (log_ != nullptr) note = {IssuanceKey(record), EncodeIssuance(record)};
    ASSIGN_OR_RETURN(const bool noted, attestors_->RedeemNoting(*caller.credential, note));
    if (noted && log_ != nullptr) log_->NoteWritten();
    if (noted) return absl::OkStatus();
  }
  if (log_ == nullptr) return absl::OkStatus();
  const absl::Status logged = log_->Append(std::move(record));
  if (!logged.ok() && caller.credential.has_value()) attestors_->Restore(*caller.credential);
  return logged;
}

void Issuance::NoteRefused(const absl::Status& status, absl::string_view protocol,
                           const std::string& address) {
  agents_->OnRefused(address, status.message());
  const absl::optional<uint64_t> unsaid = refusals_said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  RefusalReason reason;
  logger_->Warning(
      "certificate refused",
      {{"address", address},
       {"protocol", protocol},
       {"code", absl::StatusCodeToString(status.code())},
       {"reason", IsRefusedCredential(status, &reason) ? RefusalReasonName(reason) : ""},
       {"error", status.message()},
       {"not_logged", *unsaid}});
}

}  // namespace byrnie
