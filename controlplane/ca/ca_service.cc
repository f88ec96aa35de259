#include "controlplane/ca/ca_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/pooled_call.h"
#include "common/grpc/status_conversion.h"
#include "common/identity/jwt_svid.h"
#include "controlplane/ca/issue_request.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/stream/agent_push_stream.h"

namespace byrnie {
namespace {

// What stands for a token: half a SHA-256, in hexadecimal digits.
constexpr size_t kJwtSerialLength = 32;
constexpr size_t kMaxLoggedAudience = 512;

using byrnie::ca::v1::IssueRequest;
using byrnie::ca::v1::IssueResponse;

void FillBundles(const TrustBundleSource::Versioned& current, byrnie::ca::v1::TrustBundles* out) {
  out->set_version(current.version);
  for (const auto& entry : current.bundles->bundles()) {
    auto* bundle = out->add_bundles();
    bundle->set_trust_domain(entry.first);
    for (const CertificatePtr& root : entry.second.roots) bundle->add_roots(root->der());
    for (const RevocationListPtr& list : entry.second.crls) bundle->add_crls(list->der());
    for (const JwtKey& key : entry.second.jwt_keys) {
      auto* jwt_key = bundle->add_jwt_keys();
      jwt_key->set_key_id(key.id);
      jwt_key->set_public_key(key.key->der());
      ToProto(key.not_after, jwt_key->mutable_not_after());
    }
  }
  if (current.taint.root.empty()) return;
  auto* tainted = out->add_tainted_roots();
  tainted->set_sha256(absl::HexStringToBytes(current.taint.root));
  tainted->mutable_renew_within()->set_seconds(absl::ToInt64Seconds(current.taint.renew_within));
}

}  // namespace

class CaService::BundleStream final : public AgentPushStream<BundlesRequest, BundlesResponse> {
 public:
  BundleStream(grpc::CallbackServerContext* context, CaService* service,
               absl::optional<PeerIdentity> peer, StreamPlace place)
      : AgentPushStream(context, &service->streams_, std::move(peer)),
        service_(service),
        place_(std::move(place)) {}
  ~BundleStream() override {
    if (listening_) service_->questions_.OnGone(address());
  }

 private:
  absl::Status OnRequest(const BundlesRequest& request) override {
    // Only of a version it was sent on this stream, not by another control plane, and only from
    // somebody who can be named.
    const uint64_t version = request.acknowledged_version();
    if (peer().has_value()) {
      const absl::Time now = service_->clock_->WallNow();
      absl::optional<absl::Duration> clock_offset;
      if (request.has_sent_at()) clock_offset = FromProto(request.sent_at()) - now;
      service_->agents_->OnHeard(peer()->id, address(), clock_offset, now);
      if (request.answers_questions() && !listening_) {
        listening_ = true;
        service_->questions_.OnListening(address());
      }
      if (request.answer() != 0) {
        service_->questions_.OnAnswer(address(), request.answer(),
                                      {request.has_proxy(), request.proxy_answers()});
      }
    }
    if (peer().has_value() && version != 0 && version >= first_version_ &&
        version <= sent_version_) {
      service_->agents_->OnBundleAcknowledged(peer()->id, address(), version);
    }
    return absl::OkStatus();
  }

  absl::optional<BundlesResponse> NextResponse() override {
    const TrustBundleSource::Versioned current = service_->bundles_->current();
    if (current.version == sent_version_) return NextQuestion();
    if (sent_version_ == 0) first_version_ = current.version;
    sent_version_ = current.version;
    BundlesResponse response;
    FillBundles(current, response.mutable_trust_bundles());
    return response;
  }

  absl::optional<BundlesResponse> NextQuestion() {
    if (!listening_) return absl::nullopt;
    const absl::optional<uint64_t> question = service_->questions_.Take(address());
    if (!question.has_value()) return absl::nullopt;
    BundlesResponse response;
    response.set_question(*question);
    return response;
  }

  CaService* const service_;  // Not owned.
  const StreamPlace place_;
  uint64_t first_version_ = 0, sent_version_ = 0;
  bool listening_ = false;
};

CaService::CaService(Issuance* issuance, const Authority* authority,
                     const JwtAuthority* jwt_authority, const TrustBundleSource* bundles,
                     Options options, AgentTable* agents, IssuanceLog* log,
                     StrangerStreams* strangers, ThreadPool* threads, const Clock* clock,
                     Logger* logger, MetricRegistry* metrics)
    : issuance_(issuance),
      authority_(authority),
      jwt_authority_(jwt_authority),
      bundles_(bundles),
      trust_domain_(std::move(options.trust_domain)),
      jwt_limiter_(options.issue_rate, options.identity_issue_rate),
      agents_(agents),
      log_(log),
      strangers_(strangers),
      threads_(threads),
      clock_(clock),
      logger_(logger),
      tokens_(metrics, "byrnie_controlplane_jwt_issuances_total",
              "Requests for a JWT-SVID, by result."),
      identity_streams_(metrics),
      streams_(agents,
               metrics->AddGauge("byrnie_controlplane_streams", "Open streams, by service.",
                                 {{"service", "trust_bundles"}}),
               clock) {}

AgentQuestions::Answers CaService::AskAgents(const std::set<std::string>& addresses,
                                             absl::Duration patience) {
  return questions_.Ask(addresses, patience,
                        [this](const std::set<std::string>& at) { streams_.WakeAt(at); });
}

grpc::ServerUnaryReactor* CaService::Issue(grpc::CallbackServerContext* context,
                                           const IssueRequest* request, IssueResponse* response) {
  const absl::Duration arrived = issuance_->Now();
  return AnswerOn(threads_, context, [this, context, request, response, arrived] {
    return ToGrpcStatus(TryIssue(*context, arrived, *request, response));
  });
}

absl::Status CaService::TryIssue(const grpc::ServerContextBase& context, absl::Duration arrived,
                                 const IssueRequest& request, IssueResponse* response) {
  ASSIGN_OR_RETURN(IssuedSvid issued,
                   issuance_->Issue(context, "byrnie", arrived, [&request](const SpiffeId&) {
                     return ReadIssueRequest(request);
                   }));
  for (const CertificatePtr& certificate : issued.chain) {
    response->add_certificate_chain(certificate->der());
  }
  FillBundles(bundles_->current(), response->mutable_trust_bundles());
  ToProto(issued.renew_after, response->mutable_renewal_window()->mutable_start());
  ToProto(issued.renew_before, response->mutable_renewal_window()->mutable_end());
  ToProto(clock_->WallNow(), response->mutable_authority_time());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* CaService::IssueJwtSvid(
    grpc::CallbackServerContext* context, const byrnie::ca::v1::IssueJwtSvidRequest* request,
    byrnie::ca::v1::IssueJwtSvidResponse* response) {
  const absl::Duration arrived = clock_->MonotonicNow();
  return AnswerOn(threads_, context, [this, context, request, response, arrived] {
    const absl::Status status = TryIssueJwtSvid(*context, arrived, *request, response);
    tokens_.Count(status);
    if (!status.ok()) NoteJwtSvidRefused(status, PeerAddress(context->peer()));
    return ToGrpcStatus(status);
  });
}

void CaService::NoteJwtSvidRefused(const absl::Status& status, const std::string& address) {
  if (absl::IsResourceExhausted(status)) return;
  const absl::optional<uint64_t> unsaid = refusals_said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  logger_->Warning("JWT-SVID refused", {{"address", address},
                                        {"code", absl::StatusCodeToString(status.code())},
                                        {"error", status.message()},
                                        {"not_logged", *unsaid}});
}

absl::Status CaService::TryIssueJwtSvid(const grpc::ServerContextBase& context,
                                        absl::Duration arrived,
                                        const byrnie::ca::v1::IssueJwtSvidRequest& request,
                                        byrnie::ca::v1::IssueJwtSvidResponse* response) {
  const absl::Duration now = clock_->MonotonicNow();
  ASSIGN_OR_RETURN(PeerIdentity peer, RequirePeer(*context.auth_context(), *bundles_->bundles(),
                                                  trust_domain_, clock_->WallNow()));
  if (IsReservedPath(peer.id.path())) {
    return absl::PermissionDeniedError(
        absl::StrCat(peer.id.text(), " is reserved for the mesh itself"));
  }
  // As one who has none: nobody knows whether it asks for the first or the next.
  RETURN_IF_ERROR(jwt_limiter_.Admit(now, {peer.id.text(), absl::nullopt, now - arrived}));
  absl::optional<absl::Duration> ttl;
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(ttl, FromProto(request.ttl()));
  }
  // Before they are copied.
  if (request.audience_size() > static_cast<int>(kMaxJwtAudiences)) {
    return absl::InvalidArgumentError(absl::StrCat(request.audience_size(), " audiences"));
  }
  const std::vector<std::string> audience(request.audience().begin(), request.audience().end());
  ASSIGN_OR_RETURN(IssuedJwt issued, jwt_authority_->Issue(peer.id, audience, ttl));
  RETURN_IF_ERROR(NoteIssued(peer, issued, audience, PeerAddress(context.peer())));
  response->set_svid(std::move(issued.token));
  ToProto(issued.expires_at, response->mutable_expires_at());
  ToProto(issued.issued_at, response->mutable_issued_at());
  return absl::OkStatus();
}

absl::Status CaService::NoteIssued(const PeerIdentity& peer, const IssuedJwt& issued,
                                   const std::vector<std::string>& audience,
                                   const std::string& address) const {
  IssuanceRecord record;
  record.issued_at = clock_->WallNow();
  record.serial = Sha256FingerprintHex(issued.token).substr(0, kJwtSerialLength);
  record.identity = peer.id.text();
  record.proof = "svid";
  record.protocol = "byrnie";
  record.address = address;
  record.not_after = issued.expires_at;
  record.audience = audience;
  if (log_ != nullptr) RETURN_IF_ERROR(log_->Append(record));
  logger_->Info("JWT-SVID issued",
                {{"identity", record.identity},
                 {"serial", record.serial},
                 {"audience", absl::StrJoin(audience, " ").substr(0, kMaxLoggedAudience)},
                 {"not_after", UtcText(issued.expires_at)},
                 {"address", address}});
  return absl::OkStatus();
}

absl::Status CaService::Admit(const grpc::ServerContextBase& context,
                              const absl::optional<PeerIdentity>& peer, StreamPlace* place) {
  if (!peer.has_value()) {
    ASSIGN_OR_RETURN(place->of_stranger, strangers_->Admit("trust_bundles", context.peer()));
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<IdentityStreams::Place>> admitted =
      identity_streams_.Admit(peer->id.text());
  if (admitted.ok()) {
    place->of_identity = *std::move(admitted);
    return absl::OkStatus();
  }
  const absl::optional<uint64_t> unsaid = streams_refused_said_.Admit(clock_->MonotonicNow());
  if (unsaid.has_value()) {
    logger_->Warning("stream refused", {{"service", "trust_bundles"},
                                        {"address", PeerAddress(context.peer())},
                                        {"error", admitted.status().message()},
                                        {"not_logged", *unsaid}});
  }
  return admitted.status();
}

grpc::ServerBidiReactor<CaService::BundlesRequest, CaService::BundlesResponse>*
CaService::WatchTrustBundles(grpc::CallbackServerContext* context) {
  absl::StatusOr<absl::optional<PeerIdentity>> peer =
      VerifyPeer(*context->auth_context(), *bundles_->bundles(), trust_domain_, clock_->WallNow());
  // An agent that has heard from others is not to hear less of this one.
  absl::Status status = peer.status();
  status.Update(authority_->CheckIsCurrent());
  StreamPlace place;
  if (status.ok()) status = Admit(*context, *peer, &place);
  if (!status.ok()) {
    return new RefusedStream<grpc::ServerBidiReactor<BundlesRequest, BundlesResponse>>(status);
  }
  auto stream = std::make_unique<BundleStream>(context, this, *std::move(peer), std::move(place));
  BundleStream* const added = stream.get();
  streams_.Add(std::move(stream));
  added->Start();
  return added;
}

}  // namespace byrnie
