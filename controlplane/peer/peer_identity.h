#ifndef BYRNIE_CONTROLPLANE_PEER_PEER_IDENTITY_H_
#define BYRNIE_CONTROLPLANE_PEER_PEER_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace byrnie {

// Who is at the other end of a call, proven by its client certificate.
struct PeerIdentity {
  SpiffeId id;
  // Nothing may rely on the identity later.
  absl::Time not_after;
  // Of its certificate, lower-case hexadecimal; and the root it is of (FingerprintHex).
  std::string serial = "";
  std::string root = "";
  // What it was proven with: the certificate, what stands above it, and the root, where that is
  // known.
  CertificateChain path = {};
};

// Whether a revocation list of `trust_domain` names one of the certificates of such a path, so that
// what was let in with it is to end. Costs no signature that has been verified before.
bool IsRevoked(const CertificateChain& path, const TrustBundleSet& bundles,
               absl::string_view trust_domain, absl::Time now);

// Verifies the caller's certificate again, at the time `now` and against the bundles now in force:
// the handshake may have been hours ago, or a resumed one. Absent when the caller showed none.
// Unauthenticated when it is no valid SVID or not of `trust_domain`.
absl::StatusOr<absl::optional<PeerIdentity>> VerifyPeer(const grpc::AuthContext& context,
                                                        const TrustBundleSet& bundles,
                                                        absl::string_view trust_domain,
                                                        absl::Time now);

// As VerifyPeer, for methods that are only for callers with a certificate: Unauthenticated without.
absl::StatusOr<PeerIdentity> RequirePeer(const grpc::AuthContext& context,
                                         const TrustBundleSet& bundles,
                                         absl::string_view trust_domain, absl::Time now);

// The token of the metadata "authorization: Bearer TOKEN"; empty when there is no such metadata.
// Unauthenticated: it is there more than once, or is of another scheme, or has no token. Borrowed
// from the context.
absl::StatusOr<absl::string_view> BearerToken(const grpc::ServerContextBase& context);

// The first word of the metadata "user-agent", as in "byrnie-certagent/0.1.0": what the caller
// calls itself, cut at 64 bytes, and empty unless it is printable.
std::string PeerRelease(const grpc::ServerContextBase& context);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PEER_PEER_IDENTITY_H_
