#include "controlplane/ca/istio_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/base/status_macros.h"
#include "common/grpc/pooled_call.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/ca/issue_request.h"

namespace byrnie {
namespace {

absl::Status ForIstiosAgents(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  absl::Status later = absl::UnavailableError(status.message());
  const absl::optional<absl::Duration> delay = RetryAfter(status);
  if (delay.has_value()) SetRetryAfter(&later, *delay);
  return later;
}

}  // namespace

IstioService::IstioService(Issuance* issuance, const TrustBundleSource* bundles,
                           std::string trust_domain, ThreadPool* threads)
    : issuance_(issuance),
      bundles_(bundles),
      trust_domain_(std::move(trust_domain)),
      threads_(threads) {}

grpc::ServerUnaryReactor* IstioService::CreateCertificate(
    grpc::CallbackServerContext* context, const istio::v1::auth::IstioCertificateRequest* request,
    istio::v1::auth::IstioCertificateResponse* response) {
  const absl::Duration arrived = issuance_->Now();
  return AnswerOn(threads_, context, [this, context, request, response, arrived] {
    return ToGrpcStatus(
        ForIstiosAgents(TryCreateCertificate(*context, arrived, *request, response)));
  });
}

absl::Status IstioService::TryCreateCertificate(
    const grpc::ServerContextBase& context, absl::Duration arrived,
    const istio::v1::auth::IstioCertificateRequest& request,
    istio::v1::auth::IstioCertificateResponse* response) {
  ASSIGN_OR_RETURN(IssuedSvid issued,
                   issuance_->Issue(context, "istio", arrived, [&request](const SpiffeId& caller) {
                     return ReadIstioRequest(request, caller);
                   }));
  for (const CertificatePtr& certificate : issued.chain) {
    response->add_cert_chain(certificate->ToPem());
  }
  // All roots of the trust domain, also those of a rotation, as one text.
  std::string* const roots = response->add_cert_chain();
  const TrustBundleSource::BundlesPtr bundles = bundles_->bundles();
  if (const TrustBundle* own = bundles->Find(trust_domain_)) {
    for (const CertificatePtr& root : own->roots) absl::StrAppend(roots, root->ToPem());
  }
  return absl::OkStatus();
}

}  // namespace byrnie
