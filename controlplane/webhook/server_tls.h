#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_SERVER_TLS_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_SERVER_TLS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/tls/tls_context.h"
#include "controlplane/server/server_identity.h"
#include "controlplane/webhook/key_signer.h"

namespace byrnie {

// TLS for HTTP/1.1 servers whose certificate is `identity`'s current one at every connection, so
// that it rotates without a restart and without a file. Clients are not asked for theirs. Lives on
// one loop; the identity may be rotated on another thread.
class ServerTls {
 public:
  // `identity` outlives it, and it outlives all connections.
  explicit ServerTls(const ServerIdentity* identity) : identity_(identity) {}
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  // For a new connection. Internal: the certificate cannot be used, which is our bug.
  absl::StatusOr<std::shared_ptr<const TlsContext>> Current();

 private:
  absl::StatusOr<std::shared_ptr<const TlsContext>> Make(const ServerIdentity::Snapshot& identity);

  const ServerIdentity* const identity_;  // Not owned.
  KeySigner signer_;
  std::shared_ptr<const TlsContext> context_;
  uint64_t generation_ = 0;  // Of context_.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_SERVER_TLS_H_
