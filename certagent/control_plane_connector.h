#ifndef BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_
#define BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "certagent/ca_client.h"
#include "common/telemetry/log.h"
#include "grpcpp/channel.h"

namespace byrnie {

// Makes the agent's channels to the control plane, which it trusts through the bundle file alone.
// The file is read again for each; when it cannot be read or holds no certificates, what was read
// before stays. Lives on the agent's loop.
class ControlPlaneConnector {
 public:
  struct Options {
    std::string target;
    std::string trust_domain;
    std::string trust_bundle_path;
  };

  // `bundle_pem` is what the file held at the start.
  ControlPlaneConnector(Options options, std::string bundle_pem, Logger* log);

  // A channel with a connection of its own; `identity` null: without a client certificate. Errors
  // as CreateControlPlaneChannel.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(const ClientIdentityPtr& identity);

  // The channel all streams of one identity share, made anew when the identity or the bundle has
  // changed.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> SharedChannel(const ClientIdentityPtr& identity);

 private:
  void RefreshBundle();

  const Options options_;
  std::string bundle_pem_;
  Logger* const log_;  // Not owned.
  std::shared_ptr<grpc::Channel> shared_;
  ClientIdentityPtr shared_identity_;
  std::string shared_bundle_pem_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_
