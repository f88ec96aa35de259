#include "certagent/istio_ca_client.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "certagent/issue_call.h"
#include "certagent/istio_messages.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using ::istio::v1::auth::IstioCertificateRequest;
using ::istio::v1::auth::IstioCertificateResponse;
using ::istio::v1::auth::IstioCertificateService;

}  // namespace

IstioCaClient::IstioCaClient(EventLoop* loop, ControlPlaneConnector* connector, TokenFile token,
                             Options options)
    : loop_(loop), connector_(connector), token_(std::move(token)), options_(std::move(options)) {}

IstioCaClient::~IstioCaClient() = default;

void IstioCaClient::Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
                          IssueCallback done) {
  DCHECK(loop_->InLoopThread());
  absl::StatusOr<ControlPlaneConnector::Connection> connection = connector_->NewChannel(identity);
  endpoint_.reset();
  call_ = std::make_unique<Call>(
      loop_, [this, ttl, done = std::move(done)](absl::Status status,
                                                 const IstioCertificateResponse& response) mutable {
        // Its connection ends with this.
        const auto finished = std::move(call_);
        if (endpoint_.has_value()) status = connector_->OnCallEnded(*endpoint_, std::move(status));
        if (!status.ok()) return done(ExplainIstioError(std::move(status), ttl));
        done(Parse(response));
      });
  absl::Status prepared = connection.status();
  if (prepared.ok()) {
    prepared = PrepareIssueCall(identity, token_, loop_->WallNow(),
                                connector_->CallPatience(connection->endpoint), call_->context());
  }
  if (!prepared.ok()) return call_->Fail(std::move(prepared));
  endpoint_ = connection->endpoint;
  call_->context()->AddMetadata("clusterid", options_.cluster_id);
  call_->request()->set_csr(CsrToPem(csr_der));
  call_->request()->set_validity_duration(absl::ToInt64Seconds(ttl));
  std::shared_ptr<IstioCertificateService::Stub> stub =
      IstioCertificateService::NewStub(connection->channel);
  call_->Start([stub](grpc::ClientContext* context, const IstioCertificateRequest* request,
                      IstioCertificateResponse* response,
                      std::function<void(grpc::Status)> on_end) {
    stub->async()->CreateCertificate(context, request, response, std::move(on_end));
  });
}

absl::StatusOr<IssuedCertificate> IstioCaClient::Parse(const IstioCertificateResponse& response) {
  ASSIGN_OR_RETURN(IstioCertificate parsed, ParseIstioResponse(response));
  const bool same = std::equal(
      roots_.begin(), roots_.end(), parsed.roots.begin(), parsed.roots.end(),
      [](const CertificatePtr& a, const CertificatePtr& b) { return a->der() == b->der(); });
  if (!same) {
    roots_ = parsed.roots;
    ++roots_version_;
  }
  IssuedCertificate issued;
  issued.chain = std::move(parsed.chain);
  absl::StatusOr<TrustBundleSet> bundles =
      TrustBundleSet::Create({{options_.trust_domain, TrustBundle{std::move(parsed.roots)}}});
  if (bundles.ok()) {
    issued.trust_bundles = TrustBundleUpdate{roots_version_, *std::move(bundles)};
  } else {
    issued.trust_bundles = bundles.status();
  }
  return issued;
}

}  // namespace byrnie
