#include "controlplane/operator/trust_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/grpc/error_details.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/operator/page.h"
#include "controlplane/operator/read_mask.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/trust/root_rotation.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

constexpr size_t kMaxReason = 1024;
// How often the log is looked at for what has been renewed meanwhile.
constexpr int kRounds = 5;

// Of the entries that cannot be read, how many an answer has, and how many its text names.
constexpr size_t kMostListed = 100, kNamed = 3;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void FillTrust(const RotationStatus& status, v1::Trust* out) {
  for (const RootInfo& root : status.roots) {
    v1::Root* const added = out->add_roots();
    added->set_fingerprint(root.id);
    added->set_subject(root.subject);
    ToProto(root.not_after, added->mutable_not_after());
    added->set_trusted(root.trusted);
    added->set_signs(root.signs);
    added->set_tainted(root.tainted);
  }
  if (status.step.has_value()) {
    out->set_step(std::string(RotationStepName(*status.step)));
    ToProto(status.since, out->mutable_since());
  }
  out->set_automatic(status.automatic);
  for (const RotationExclusion& exclusion : status.exclusions) {
    v1::TrustExclusion* const added = out->add_exclusions();
    added->set_agent(exclusion.agent);
    added->set_step(std::string(RotationStepName(exclusion.step)));
    added->set_by(exclusion.by);
    ToProto(exclusion.at, added->mutable_at());
    added->set_move(std::string(RotationMoveName(MoveOf(exclusion))));
    added->set_left_out(exclusion.left_out);
    added->set_over(exclusion.over);
  }
  out->set_move(std::string(RotationMoveName(status.move)));
  out->set_consequence(status.consequence);
  for (const RotationBlocker& blocker : status.blockers) {
    v1::TrustBlocker* const added = out->add_blockers();
    added->set_agent(blocker.agent);
    added->set_address(blocker.address);
    added->set_reason(blocker.reason);
    if (blocker.until != absl::InfiniteFuture()) ToProto(blocker.until, added->mutable_until());
  }
  out->set_moved(status.moved);
}

// The list of a request, and what it is filtered by: a page token is of one such list.
std::string ListOf(const v1::ListIssuancesRequest& request) {
  v1::ListIssuancesRequest filter = request;
  filter.clear_page_size();
  filter.clear_page_token();
  filter.clear_read_mask();
  return absl::StrCat("issuances ", filter.SerializeAsString());
}

// As Certificate::SerialHex; other programs print the digits in capitals.
absl::StatusOr<std::string> ReadSerial(absl::string_view given) {
  std::string serial = absl::AsciiStrToLower(given);
  const absl::Status valid = Revocations::CheckSerial(serial);
  if (!valid.ok()) return InvalidField("serial", valid.message());
  return serial;
}

void FillRevocation(const absl::optional<RevokedCertificate>& revoked, v1::Issuance* out) {
  if (!revoked.has_value()) return;
  ToProto(revoked->revoked_at, out->mutable_revoked_at());
  out->set_revoked_by(revoked->by);
  out->set_revoked_reason(revoked->reason);
}

std::string DoubtText(const std::string& serial, const std::vector<IssuanceRecord>& doubtful) {
  const bool one = doubtful.size() == 1;
  std::string text =
      absl::StrCat(doubtful.size(), one ? " entry" : " entries",
                   " of the log of issuances cannot be read and may be of ",
                   one ? "a certificate" : "certificates", " that ", one ? "was" : "were",
                   " renewed from ", serial, ": ", one ? "it is" : "they are",
                   " not revoked, nor what was renewed from ", one ? "it" : "them", ": ");
  for (size_t i = 0; i < std::min(doubtful.size(), kNamed); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", doubtful[i].serial, " of ",
                    UtcText(doubtful[i].issued_at));
  }
  if (doubtful.size() > kNamed) absl::StrAppend(&text, " and others");
  absl::StrAppend(
      &text, "; revoke ", one ? "it" : "each",
      " by its serial (byrniectl revoke): whoever else it was issued to gets another one "
      "with its token; or restore the store from a backup and revoke ",
      serial, " once more", doubtful.size() > kNamed ? "; or rotate the root" : "");
  return text;
}

// What a plugged CA has.
void FillPlugged(const AuthoritySnapshot& snapshot, v1::Trust* out) {
  out->set_plugged(true);
  for (const CertificatePtr& root : snapshot.roots) {
    v1::Root* const added = out->add_roots();
    added->set_fingerprint(root->FingerprintHex());
    added->set_subject(root->Subject());
    ToProto(root->not_after(), added->mutable_not_after());
    added->set_trusted(true);
    added->set_signs(root->der() == snapshot.signer->root()->der());
  }
}

}  // namespace

absl::Status TrustCalls::GetTrust(const v1::GetTrustRequest& request, v1::Trust* response) const {
  if (trust_->rotation() == nullptr) {
    FillPlugged(*trust_->authority()->snapshot(), response);
    return absl::OkStatus();
  }
  FillTrust(trust_->rotation()->Status(request.rollback()), response);
  return absl::OkStatus();
}

absl::Status TrustCalls::Rotate(const RootRotation::Request& request, v1::Trust* response) const {
  if (trust_->rotation() == nullptr) {
    return PreconditionFailed(
        "PLUGGED_CA", "trust",
        "the CA is plugged: its root is rotated by replacing its files, root-cert.pem with both "
        "roots first");
  }
  absl::StatusOr<RotationStatus> status = trust_->rotation()->Rotate(request);
  if (absl::IsInvalidArgument(status.status())) {
    return InvalidField("exclude", status.status().message());
  }
  if (absl::IsFailedPrecondition(status.status())) {
    return PreconditionFailed("ROTATION", "trust", status.status().message());
  }
  RETURN_IF_ERROR(status.status());
  FillTrust(*status, response);
  return absl::OkStatus();
}

absl::Status TrustCalls::RotateTrust(const std::string& by, const v1::RotateTrustRequest& request,
                                     v1::Trust* response) const {
  RootRotation::Request rotate;
  if (!request.move().empty()) {
    const absl::StatusOr<RotationMove> move = ParseRotationMove(request.move());
    if (!move.ok()) return InvalidField("move", move.status().message());
    if (*move == RotationMove::kRollback) {
      return InvalidField("move", "a rollback is a method of its own, RollbackTrust");
    }
    rotate.move = *move;
  }
  rotate.exclusions.assign(request.exclude().begin(), request.exclude().end());
  rotate.by = by;
  rotate.dry_run = request.dry_run();
  return Rotate(rotate, response);
}

absl::Status TrustCalls::RollbackTrust(const std::string& by,
                                       const v1::RollbackTrustRequest& request,
                                       v1::Trust* response) const {
  RootRotation::Request rotate;
  rotate.move = RotationMove::kRollback;
  rotate.exclusions.assign(request.exclude().begin(), request.exclude().end());
  rotate.by = by;
  rotate.dry_run = request.dry_run();
  return Rotate(rotate, response);
}

absl::Status TrustCalls::ListIssuances(const v1::ListIssuancesRequest& request,
                                       v1::ListIssuancesResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Issuance>(request.read_mask()));
  IssuanceLog::Query query;
  if (!request.spiffe_id().empty()) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request.spiffe_id());
    if (!id.ok()) return InvalidField("spiffe_id", id.status().message());
    query.identity = id->text();
  }
  if (!request.serial().empty()) {
    ASSIGN_OR_RETURN(query.serial, ReadSerial(request.serial()));
  }
  if (request.has_since()) query.since = TimeOf(request.since());
  if (request.has_until()) query.until = TimeOf(request.until());
  ASSIGN_OR_RETURN(const Page wanted,
                   Page::Create(request.page_size(), request.page_token(), ListOf(request)));
  query.page_token = wanted.after();
  query.limit = static_cast<int>(wanted.size());
  const absl::StatusOr<IssuanceStore::Page> page = log_->Read(query);
  if (absl::IsInvalidArgument(page.status())) {
    return InvalidField("page_token", page.status().message());
  }
  RETURN_IF_ERROR(page.status());
  for (const IssuanceRecord& record : page->records) {
    v1::Issuance* const out = response->add_issuances();
    ToProto(record.issued_at, out->mutable_issued_at());
    out->set_serial(record.serial);
    out->set_spiffe_id(record.identity);
    out->set_proof(record.proof);
    out->set_subject(record.subject);
    out->set_protocol(record.protocol);
    out->set_address(record.address);
    out->set_root(record.root);
    if (record.proof != kUnreadableProof) {
      ToProto(record.not_after, out->mutable_not_after());
    }
    out->set_replaces(record.replaces);
    for (const std::string& audience : record.audience) out->add_audience(audience);
    FillRevocation(trust_->revocations()->Find(record.serial), out);
    ApplyReadMask(request.read_mask(), out);
  }
  if (!page->next.empty()) response->set_next_page_token(wanted.TokenAfter(page->next));
  return absl::OkStatus();
}

absl::Status TrustCalls::ListRevocations(const v1::ListRevocationsRequest& request,
                                         v1::ListRevocationsResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Revocation>(request.read_mask()));
  ASSIGN_OR_RETURN(const Page page,
                   Page::Create(request.page_size(), request.page_token(), "revocations"));
  std::string last;
  for (const RevokedCertificate& revoked : trust_->revocations()->List()) {
    if (revoked.serial <= page.after()) continue;
    if (response->revocations_size() == static_cast<int>(page.size())) {
      response->set_next_page_token(page.TokenAfter(last));
      break;
    }
    last = revoked.serial;
    v1::Revocation* const out = response->add_revocations();
    out->set_serial(revoked.serial);
    out->set_spiffe_id(revoked.identity);
    ToProto(revoked.revoked_at, out->mutable_revoked_at());
    out->set_revoked_by(revoked.by);
    out->set_revoked_reason(revoked.reason);
    ToProto(revoked.not_after, out->mutable_not_after());
    ApplyReadMask(request.read_mask(), out);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::flat_hash_map<std::string, IssuedCertificate>> TrustCalls::NewestIssued()
    const {
  absl::flat_hash_map<std::string, IssuedCertificate> newest;
  RETURN_IF_ERROR(log_->ForEachSince(clock_->WallNow() - 2 * workload_ttl_,
                                     [&newest](const IssuanceRecord& record) {
                                       if (!record.audience.empty()) return;
                                       if (record.proof == kOwnProof) return;
                                       if (record.proof == kUnreadableProof) return;
                                       newest[record.identity] = {record.serial, record.not_after};
                                     }));
  return newest;
}

absl::Duration TrustCalls::LongestLife() const {
  const RootRotation* const rotation = trust_->rotation();
  const absl::Duration twice = 2 * workload_ttl_;
  return rotation == nullptr ? twice : std::max(twice, rotation->LongestLife());
}

std::set<std::string> TrustCalls::RevokedSerials() const {
  std::set<std::string> serials;
  for (const RevokedCertificate& revoked : trust_->revocations()->List()) {
    serials.insert(revoked.serial);
  }
  return serials;
}

absl::Status TrustCalls::RevokeCertificate(const std::string& by,
                                           const v1::RevokeCertificateRequest& request,
                                           v1::RevokeCertificateResponse* response,
                                           size_t* revoked) const {
  *revoked = 0;
  if (request.reason().size() > kMaxReason) {
    return InvalidField(
        "reason", absl::StrCat("has ", request.reason().size(), " bytes; at most ", kMaxReason));
  }
  ASSIGN_OR_RETURN(const std::string serial, ReadSerial(request.serial()));
  const absl::Status may = trust_->CheckMayRevoke();
  if (absl::IsFailedPrecondition(may)) {
    return PreconditionFailed("REVOCATION_LIST", "trust", may.message());
  }
  RETURN_IF_ERROR(may);
  const absl::Time now = clock_->WallNow();
  CertificateLineage lineage(serial);
  const absl::Status read = lineage.Update(*log_).status();
  if (!request.accept_unknown()) RETURN_IF_ERROR(read);
  if (!lineage.itself().has_value() && !request.accept_unknown()) {
    return ResourceNotFound(
        "certificate", serial,
        absl::StrCat(
            "the log of issuances has no certificate ", serial,
            ", so nothing is revoked; look for the right serial with byrniectl issuances, or, for "
            "a certificate that the log has lost, set accept_unknown (byrniectl revoke "
            "--accept_unknown)"));
  }
  RevokedCertificate first;
  first.serial = serial;
  first.by = by;
  first.reason = request.reason();
  first.revoked_at = now;
  // One that nobody remembers, or whose entry cannot be read: as long as any that may be valid now.
  first.not_after = now + LongestLife();
  if (lineage.itself().has_value() && lineage.itself()->proof != kUnreadableProof) {
    const IssuanceRecord& record = *lineage.itself();
    if (!record.audience.empty()) {
      return PreconditionFailed("JWT_SVID", serial,
                                absl::StrCat(serial, " is a JWT-SVID of ", record.identity,
                                             ", which no list takes back"));
    }
    first.identity = record.identity;
    first.not_after = record.not_after;
  }
  response->set_spiffe_id(first.identity);
  ToProto(first.not_after, response->mutable_until());
  const bool ended = first.not_after <= now;
  response->set_ended(ended);
  // Of one that has ended there is nothing to do but for what came of it.
  const bool renewed =
      !request.only() && std::any_of(lineage.renewed().begin(), lineage.renewed().end(),
                                     [&](const IssuanceRecord& r) { return EndOf(r) > now; });
  if (!ended || !renewed) {
    const absl::Status done = RevokeOne(first, revoked);
    if (absl::IsInvalidArgument(done)) {
      if (!request.only()) NameDoubtful(lineage, first, response);
      return InvalidField("serial",
                          absl::StrCat(done.message(), response->warning().empty() ? "" : "; ",
                                       response->warning()));
    }
    RETURN_IF_ERROR(done);
  }
  if (request.only()) return absl::OkStatus();
  if (!read.ok()) {
    response->set_warning(absl::StrCat("what was renewed from ", serial,
                                       " is not revoked, because the log of issuances cannot be "
                                       "read now: ",
                                       read.message(), "; revoke it once more"));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(RevokeRenewed(first, &lineage, response, revoked));
  NameDoubtful(lineage, first, response);
  return absl::OkStatus();
}

absl::Status TrustCalls::RevokeOne(const RevokedCertificate& certificate, size_t* revoked) const {
  ASSIGN_OR_RETURN(const bool is_new, trust_->revocations()->Revoke(certificate));
  if (is_new) ++*revoked;
  return absl::OkStatus();
}

absl::Time TrustCalls::EndOf(const IssuanceRecord& record) const {
  return record.proof == kUnreadableProof ? record.issued_at + LongestLife() : record.not_after;
}

void TrustCalls::NameDoubtful(const CertificateLineage& lineage, const RevokedCertificate& first,
                              v1::RevokeCertificateResponse* response) const {
  std::vector<IssuanceRecord> doubtful = lineage.Doubtful(first.revoked_at, LongestLife());
  // Those that somebody has seen to.
  doubtful.erase(std::remove_if(doubtful.begin(), doubtful.end(),
                                [this](const IssuanceRecord& record) {
                                  return trust_->revocations()->IsRevoked(record.serial);
                                }),
                 doubtful.end());
  if (doubtful.empty()) return;
  response->set_unreadable_total(static_cast<uint32_t>(doubtful.size()));
  response->set_warning(DoubtText(first.serial, doubtful));
  if (doubtful.size() > kMostListed) doubtful.resize(kMostListed);
  for (const IssuanceRecord& record : doubtful) {
    v1::Issuance* const out = response->add_unreadable();
    out->set_serial(record.serial);
    out->set_proof(record.proof);
    ToProto(record.issued_at, out->mutable_issued_at());
  }
}

absl::Status TrustCalls::RevokeRenewed(const RevokedCertificate& first, CertificateLineage* lineage,
                                       v1::RevokeCertificateResponse* response,
                                       size_t* revoked) const {
  absl::Time jwt_svids_until = first.revoked_at;
  size_t done = 0;
  bool more = true;
  for (int round = 0; more && round < kRounds; ++round) {
    for (; done < lineage->renewed().size(); ++done) {
      const IssuanceRecord& record = lineage->renewed()[done];
      const absl::Time end = EndOf(record);
      if (end <= first.revoked_at) continue;
      if (!record.audience.empty()) {
        response->set_jwt_svids(response->jwt_svids() + 1);
        jwt_svids_until = std::max(jwt_svids_until, record.not_after);
        ToProto(jwt_svids_until, response->mutable_jwt_svids_until());
        continue;
      }
      RevokedCertificate renewed = first;
      renewed.serial = record.serial;
      if (record.proof != kUnreadableProof) renewed.identity = record.identity;
      renewed.not_after = end;
      renewed.reason = absl::StrCat("renewed from ", first.serial, first.reason.empty() ? "" : ": ",
                                    first.reason);
      RETURN_IF_ERROR(RevokeOne(renewed, revoked));
      response->set_renewed(response->renewed() + 1);
    }
    // Before they were revoked, they may have been renewed once more.
    ASSIGN_OR_RETURN(more, lineage->Update(*log_));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
