#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_API_CREDENTIALS_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_API_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/file_fingerprint.h"
#include "common/base/secret_bytes.h"
#include "common/telemetry/log.h"
#include "common/tls/tls_context.h"
#include "controlplane/kubernetes/api_server.h"

namespace byrnie {

// What the API server is verified by and what it is shown, each read again when its file is another
// one: the kubelet renews a token long before its end, and a cluster's CA may be replaced. A file
// that cannot be read, or is none, leaves what was read before in force, is logged once, and read
// again at the next call. Lives on one thread; reads the disk.
class ApiCredentials {
 public:
  // The logger outlives this.
  ApiCredentials(ApiServer server, Logger* logger);
  ApiCredentials(const ApiCredentials&) = delete;
  ApiCredentials& operator=(const ApiCredentials&) = delete;

  const ApiServer& server() const { return server_; }
  // For a new connection; another one only when the CA is. Errors until it has been read once.
  absl::StatusOr<std::shared_ptr<const TlsContext>> Context();
  // The token for a request; valid until the next call. Empty where a client certificate says who
  // asks. Errors until it has been read once.
  absl::StatusOr<absl::string_view> Token();

 private:
  struct Follower {
    // Of the last try; absent: the file was not there.
    absl::optional<FileFingerprint> seen;
    bool tried = false;
    absl::Status status;  // Of the last try.
  };
  // Runs `load` when the file at `path` is another one than at the last call, or that failed.
  template <typename Load>
  void Follow(const std::string& path, Follower* follower, Load load);
  absl::Status LoadContext(const std::string& pem);

  const ApiServer server_;
  Logger* const logger_;  // Not owned.
  Follower ca_, token_follower_;
  std::shared_ptr<const TlsContext> context_;
  SecretBytes token_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_API_CREDENTIALS_H_
