#ifndef BYRNIE_CERTAGENT_ISTIO_CA_CLIENT_H_
#define BYRNIE_CERTAGENT_ISTIO_CA_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "certagent/ca_client.h"
#include "certagent/control_plane_connector.h"
#include "certagent/grpc_unary_call.h"
#include "certagent/token_file.h"
#include "common/event/event_loop.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace byrnie {

// An Istio CA (istiod, istio-csr) over gRPC, for the agent's loop. The protocol has no stream of
// trust bundles: the roots that come with each certificate are the bundle of the own trust domain,
// in a version that grows when they change. There is nobody to acknowledge them to.
class IstioCaClient final : public CaClient {
 public:
  struct Options {
    std::string trust_domain;
    // As "clusterid" in the metadata.
    std::string cluster_id;
  };

  // All pointers outlive the client.
  IstioCaClient(EventLoop* loop, ControlPlaneConnector* connector, TokenFile token,
                Options options);
  IstioCaClient(const IstioCaClient&) = delete;
  IstioCaClient& operator=(const IstioCaClient&) = delete;
  ~IstioCaClient() override;

  void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
             IssueCallback done) override;
  void WatchTrustBundles(ClientIdentityPtr, BundleCallback) override {}
  void AcknowledgeTrustBundles(uint64_t) override {}

 private:
  using Call = GrpcUnaryCall<istio::v1::auth::IstioCertificateRequest,
                             istio::v1::auth::IstioCertificateResponse>;

  absl::StatusOr<IssuedCertificate> Parse(
      const istio::v1::auth::IstioCertificateResponse& response);

  EventLoop* const loop_;                   // Not owned.
  ControlPlaneConnector* const connector_;  // Not owned.
  const TokenFile token_;
  const Options options_;
  std::unique_ptr<Call> call_;       // Under way.
  absl::optional<size_t> endpoint_;  // Where it was sent.
  std::vector<CertificatePtr> roots_;
  uint64_t roots_version_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ISTIO_CA_CLIENT_H_
