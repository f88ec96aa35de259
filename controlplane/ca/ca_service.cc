#include "controlplane/ca/ca_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/csr.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/stream/agent_push_stream.h"

namespace byrnie {
namespace {

using byrnie::ca::v1::IssueRequest;
using byrnie::ca::v1::IssueResponse;

constexpr char kIssuances[] = "byrnie_controlplane_issuances_total";
constexpr char kIssuancesHelp[] = "Requests for a certificate, by result.";

void FillBundles(const TrustBundleSource::Versioned& current, byrnie::ca::v1::TrustBundles* out) {
  out->set_version(current.version);
  for (const auto& entry : current.bundles->bundles()) {
    auto* bundle = out->add_bundles();
    bundle->set_trust_domain(entry.first);
    for (const CertificatePtr& root : entry.second.roots) bundle->add_roots(root->der());
    for (const RevocationListPtr& list : entry.second.crls) bundle->add_crls(list->der());
  }
}

}  // namespace

class CaService::BundleStream final : public AgentPushStream<BundlesRequest, BundlesResponse> {
 public:
  BundleStream(grpc::CallbackServerContext* context, CaService* service,
               absl::optional<PeerIdentity> peer)
      : AgentPushStream(context, &service->streams_, std::move(peer)), service_(service) {}

 private:
  absl::Status OnRequest(const BundlesRequest& request) override {
    // Only of a version it was sent, and only from somebody who can be named.
    const uint64_t version = request.acknowledged_version();
    if (peer().has_value() && version != 0 && version <= sent_version_) {
      service_->agents_->OnBundleAcknowledged(peer()->id, address(), version);
    }
    return absl::OkStatus();
  }

  absl::optional<BundlesResponse> NextResponse() override {
    const TrustBundleSource::Versioned current = service_->bundles_->current();
    if (current.version == sent_version_) return absl::nullopt;
    sent_version_ = current.version;
    BundlesResponse response;
    FillBundles(current, response.mutable_trust_bundles());
    return response;
  }

  CaService* const service_;  // Not owned.
  uint64_t sent_version_ = 0;
};

CaService::CaService(const Authority* authority, Attestor* attestor,
                     const TrustBundleSource* bundles, absl::Duration workload_ttl,
                     AgentTable* agents, const Clock* clock, Logger* logger,
                     MetricRegistry* metrics)
    : authority_(authority),
      attestor_(attestor),
      bundles_(bundles),
      workload_ttl_(workload_ttl),
      agents_(agents),
      clock_(clock),
      logger_(logger),
      issued_(metrics->AddCounter(kIssuances, kIssuancesHelp, {{"result", "issued"}})),
      unauthenticated_(
          metrics->AddCounter(kIssuances, kIssuancesHelp, {{"result", "unauthenticated"}})),
      invalid_(metrics->AddCounter(kIssuances, kIssuancesHelp, {{"result", "invalid"}})),
      failed_(metrics->AddCounter(kIssuances, kIssuancesHelp, {{"result", "failed"}})),
      streams_(agents,
               metrics->AddGauge("byrnie_controlplane_streams", "Open streams, by service.",
                                 {{"service", "trust_bundles"}}),
               clock) {}

grpc::Status CaService::Issue(grpc::ServerContext* context, const IssueRequest* request,
                              IssueResponse* response) {
  const absl::Status status = TryIssue(*context, *request, response);
  if (status.ok()) {
    issued_->Increment();
    return grpc::Status::OK;
  }
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      unauthenticated_->Increment();
      break;
    case absl::StatusCode::kInvalidArgument:
      invalid_->Increment();
      break;
    default:
      failed_->Increment();
  }
  logger_->Warning("certificate refused", {{"address", PeerAddress(context->peer())},
                                           {"code", absl::StatusCodeToString(status.code())},
                                           {"error", status.message()}});
  response->Clear();
  return ToGrpcStatus(status);
}

absl::Status CaService::TryIssue(const grpc::ServerContext& context, const IssueRequest& request,
                                 IssueResponse* response) {
  ASSIGN_OR_RETURN(Caller caller, Authenticate(context));
  ASSIGN_OR_RETURN(std::string public_key, VerifyCsr(request.csr()));
  absl::optional<absl::Duration> ttl;
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(ttl, FromProto(request.ttl()));
  }
  ASSIGN_OR_RETURN(IssuedSvid issued, authority_->Issue(caller.id, public_key, ttl, workload_ttl_));
  // Last, so that whatever failed before leaves the token usable. Who loses the race for it gets
  // nothing.
  if (caller.claim.has_value()) RETURN_IF_ERROR(attestor_->Redeem(*caller.claim));

  const Certificate& leaf = *issued.chain.front();
  agents_->OnIssued(caller.id, leaf.SerialHex(), leaf.not_after(), issued.issued_at);
  logger_->Info(
      "certificate issued",
      {{"identity", caller.id.text()},
       {"serial", leaf.SerialHex()},
       {"not_after", absl::FormatTime(absl::RFC3339_sec, leaf.not_after(), absl::UTCTimeZone())},
       {"proof", caller.claim.has_value() ? "token" : "certificate"},
       {"address", PeerAddress(context.peer())}});

  for (const CertificatePtr& certificate : issued.chain) {
    response->add_certificate_chain(certificate->der());
  }
  FillBundles(bundles_->current(), response->mutable_trust_bundles());
  ToProto(issued.renew_after, response->mutable_renewal_window()->mutable_start());
  ToProto(issued.renew_before, response->mutable_renewal_window()->mutable_end());
  ToProto(clock_->WallNow(), response->mutable_authority_time());
  return absl::OkStatus();
}

absl::StatusOr<CaService::Caller> CaService::Authenticate(
    const grpc::ServerContext& context) const {
  ASSIGN_OR_RETURN(absl::optional<PeerIdentity> peer,
                   VerifyPeer(*context.auth_context(), *bundles_->bundles(),
                              authority_->trust_domain(), clock_->WallNow()));
  if (peer.has_value()) {
    if (IsReservedPath(peer->id.path())) {
      return absl::PermissionDeniedError(
          absl::StrCat(peer->id.text(), " is reserved for the mesh itself"));
    }
    return Caller{std::move(peer->id), absl::nullopt};
  }
  const absl::string_view token = BearerToken(context);
  if (token.empty()) {
    return absl::UnauthenticatedError(
        "there is neither a client certificate nor a join token; give one of them");
  }
  ASSIGN_OR_RETURN(Attestor::Claim claim, attestor_->Check(token));
  SpiffeId id = claim.id;
  return Caller{std::move(id), std::move(claim)};
}

grpc::ServerBidiReactor<CaService::BundlesRequest, CaService::BundlesResponse>*
CaService::WatchTrustBundles(grpc::CallbackServerContext* context) {
  absl::StatusOr<absl::optional<PeerIdentity>> peer =
      VerifyPeer(*context->auth_context(), *bundles_->bundles(), authority_->trust_domain(),
                 clock_->WallNow());
  if (!peer.ok()) {
    return new RefusedStream<grpc::ServerBidiReactor<BundlesRequest, BundlesResponse>>(
        peer.status());
  }
  auto stream = std::make_unique<BundleStream>(context, this, *std::move(peer));
  BundleStream* const added = stream.get();
  streams_.Add(std::move(stream));
  added->Start();
  return added;
}

}  // namespace byrnie
