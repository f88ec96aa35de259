#include "certagent/control_plane_connector.h"

#include <utility>

#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/grpc/control_plane_channel.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {
namespace {

constexpr size_t kMaxBundleSize = 1024 * 1024;

}  // namespace

ControlPlaneConnector::ControlPlaneConnector(Options options, std::string bundle_pem, Logger* log)
    : options_(std::move(options)), bundle_pem_(std::move(bundle_pem)), log_(log) {}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ControlPlaneConnector::NewChannel(
    const ClientIdentityPtr& identity) {
  RefreshBundle();
  ControlPlaneChannelOptions options;
  options.target = options_.target;
  options.trust_domain = options_.trust_domain;
  options.trust_bundle_pem = bundle_pem_;
  if (identity != nullptr) {
    options.identity = ControlPlaneClientIdentity{identity->chain, identity->key};
  }
  return CreateControlPlaneChannel(options);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ControlPlaneConnector::SharedChannel(
    const ClientIdentityPtr& identity) {
  RefreshBundle();
  if (shared_ == nullptr || shared_identity_ != identity || shared_bundle_pem_ != bundle_pem_) {
    ASSIGN_OR_RETURN(shared_, NewChannel(identity));
    shared_identity_ = identity;
    shared_bundle_pem_ = bundle_pem_;
  }
  return shared_;
}

void ControlPlaneConnector::RefreshBundle() {
  absl::StatusOr<std::string> pem = ReadFile(options_.trust_bundle_path, kMaxBundleSize);
  absl::Status usable = pem.status();
  if (usable.ok()) usable = TrustBundleSet::FromPem(options_.trust_domain, *pem).status();
  if (usable.ok()) {
    bundle_pem_ = *std::move(pem);
  } else {
    log_->Warning("trust bundle file not usable, keeping what it held before",
                  {{"file", options_.trust_bundle_path}, {"reason", usable.message()}});
  }
}

}  // namespace byrnie
