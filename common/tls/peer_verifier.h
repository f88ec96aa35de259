#ifndef BYRNIE_COMMON_TLS_PEER_VERIFIER_H_
#define BYRNIE_COMMON_TLS_PEER_VERIFIER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_cache.h"
#include "common/identity/identity_snapshot.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/verified_paths.h"
#include "openssl/pool.h"

namespace byrnie {

struct ProvenPeer {
  VerifiedSvid svid;
  CertificateChain chain;  // As presented, leaf first.
};

// Judges the certificates that a TLS peer has presented, leaf first, null when it presented none:
// they are an X509-SVID by `own`'s trust bundles at `now`, of one of `allowed_peers` or, when that
// is empty, of our own trust domain, or of any that there is a bundle for when `federated`.
// Unauthenticated says why not, with DefectOf (handshake_fault.h) where revocation is the reason,
// and `alert` gets what to tell the peer. `known` is where peers that
// show the same share it, and `paths` what has been verified of them.
absl::StatusOr<ProvenPeer> VerifyPeer(const STACK_OF(CRYPTO_BUFFER) * presented,
                                      const IdentitySnapshot& own,
                                      const std::vector<SpiffeId>& allowed_peers, bool federated,
                                      absl::Time now, CertificateCache* known, VerifiedPaths* paths,
                                      uint8_t* alert);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_PEER_VERIFIER_H_
