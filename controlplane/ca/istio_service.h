#ifndef BYRNIE_CONTROLPLANE_CA_ISTIO_SERVICE_H_
#define BYRNIE_CONTROLPLANE_CA_ISTIO_SERVICE_H_

#include <string>

#include "absl/status/status.h"
#include "common/base/thread_pool.h"
#include "controlplane/ca/issuance.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "grpcpp/server_context.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace byrnie {

// istio.v1.auth as gRPC serves it, for agents that know an istiod: CaService's certificates, proofs
// and limits in Istio's messages. A life beyond the cap is cut, and not an error as with istiod,
// because Istio's agents ask for a day. Its agents try again after Unavailable and give up after
// anything else, so that is what they get when there is no room, too. Calls hold one of `threads`
// until they have an answer. Thread-safe; the pointers outlive it, and it outlives the server.
class IstioService final : public istio::v1::auth::IstioCertificateService::CallbackService {
 public:
  IstioService(Issuance* issuance, const TrustBundleSource* bundles, std::string trust_domain,
               ThreadPool* threads);

  grpc::ServerUnaryReactor* CreateCertificate(
      grpc::CallbackServerContext* context, const istio::v1::auth::IstioCertificateRequest* request,
      istio::v1::auth::IstioCertificateResponse* response) override;

 private:
  absl::Status TryCreateCertificate(const grpc::ServerContextBase& context, absl::Duration arrived,
                                    const istio::v1::auth::IstioCertificateRequest& request,
                                    istio::v1::auth::IstioCertificateResponse* response);

  Issuance* const issuance_;                // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const std::string trust_domain_;
  ThreadPool* const threads_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISTIO_SERVICE_H_
