#ifndef BYRNIE_CTL_OPERATOR_CLIENT_H_
#define BYRNIE_CTL_OPERATOR_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/secret_bytes.h"
#include "grpcpp/client_context.h"

namespace byrnie {

// Calls the operator API of one control plane. Blocks, at most kTimeout per call. Lives on one
// thread.
class OperatorClient {
 public:
  static constexpr absl::Duration kTimeout = absl::Seconds(10);

  // InvalidArgument as CreateControlPlaneChannel.
  static absl::StatusOr<std::unique_ptr<OperatorClient>> Create(const std::string& target,
                                                                const std::string& trust_domain,
                                                                const std::string& trust_bundle_pem,
                                                                SecretBytes token);

  // Errors in words a person can act on; the code is the server's, or Unavailable when it cannot be
  // reached.
  absl::StatusOr<std::string> CreateJoinToken(const std::string& spiffe_id, absl::Duration ttl);
  absl::StatusOr<byrnie::operator_::v1::GetStatusResponse> GetStatus();

 private:
  OperatorClient(std::string target, std::unique_ptr<byrnie::operator_::v1::Operator::Stub> stub,
                 SecretBytes token)
      : target_(std::move(target)), stub_(std::move(stub)), token_(std::move(token)) {}
  void Prepare(grpc::ClientContext* context) const;
  absl::Status Explain(const grpc::ClientContext& context, const grpc::Status& status) const;

  const std::string target_;
  const std::unique_ptr<byrnie::operator_::v1::Operator::Stub> stub_;
  const SecretBytes token_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_OPERATOR_CLIENT_H_
