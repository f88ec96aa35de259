#ifndef BYRNIE_COMMON_TLS_NAMED_SERVER_H_
#define BYRNIE_COMMON_TLS_NAMED_SERVER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "openssl/pool.h"

namespace byrnie {

// A server outside the mesh, as a Kubernetes API server is: known by a host name, or an IP address,
// that its certificate is for.
struct NamedServer {
  // "kubernetes.default.svc", "10.96.0.1", "fd00::1".
  std::string host;
  // Who vouches for it: any of them, root or not.
  std::vector<CertificatePtr> roots;
};

// Judges the certificates that a TLS server has presented, leaf first, null when it presented none:
// there is a path from one of the roots (RFC 5280), at `now`, to a leaf that may be a server's and
// is for the host (RFC 6125; a subject counts for nothing). Nobody is asked about revocation.
// Unauthenticated says why not, and `alert` gets what to tell the server.
absl::Status VerifyNamedServer(const STACK_OF(CRYPTO_BUFFER) * presented, const NamedServer& server,
                               absl::Time now, uint8_t* alert);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_NAMED_SERVER_H_
