#include "controlplane/server/rotating_credentials.h"

#include <stdlib.h>

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"

namespace byrnie {
namespace {

// Wraps what only the C core offers: credentials that ask for the certificate at every handshake.
class RotatingServerCredentials final : public grpc::ServerCredentials {
 public:
  RotatingServerCredentials(const ServerIdentity* identity, const TrustBundleSource* bundles)
      : identity_(identity), bundles_(bundles) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, &RotatingServerCredentials::Fetch,
            this));
  }
  ~RotatingServerCredentials() override { grpc_server_credentials_release(credentials_); }

  // Byrnie looks at metadata in its methods.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* user_data, grpc_ssl_server_certificate_config** config) {
    return static_cast<RotatingServerCredentials*>(user_data)->Refresh(config);
  }

  // Called by the library at every handshake, from any of its threads.
  grpc_ssl_certificate_config_reload_status Refresh(grpc_ssl_server_certificate_config** config) {
    const std::shared_ptr<const ServerIdentity::Snapshot> identity = identity_->current();
    const TrustBundleSource::Versioned bundles = bundles_->current();
    absl::MutexLock lock(&mu_);
    if (identity->generation == generation_ && bundles.version == bundle_version_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    std::string roots;
    for (const auto& entry : bundles.bundles->bundles()) {
      for (const CertificatePtr& root : entry.second.roots) {
        absl::StrAppend(&roots, root->ToPem());
      }
    }
    std::string key(identity->key_pem.view());
    const grpc_ssl_pem_key_cert_pair pair = {key.c_str(), identity->chain_pem.c_str()};
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    WipeString(&key);
    if (*config == nullptr) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    generation_ = identity->generation;
    bundle_version_ = bundles.version;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const ServerIdentity* const identity_;    // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  grpc_server_credentials* credentials_;
  absl::Mutex mu_;
  // What the library has now.
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t bundle_version_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

void RequireTls13() {
  // A list for TLS 1.2 that OpenSSL accepts and no handshake can use, as there are no pre-shared
  // keys. The suites of TLS 1.3 are a list of their own and stay.
  ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", 1);
}

std::shared_ptr<grpc::ServerCredentials> CreateRotatingServerCredentials(
    const ServerIdentity* identity, const TrustBundleSource* bundles) {
  return std::make_shared<RotatingServerCredentials>(identity, bundles);
}

}  // namespace byrnie
