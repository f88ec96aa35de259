#ifndef BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_
#define BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// A peer, or ourselves, proven by a certificate chain.
struct VerifiedSvid {
  SpiffeId id;
  // The earliest notAfter of the leaf and the intermediates: nothing may rely on the identity
  // later.
  absl::Time not_after;
};

// Why a chain was refused, coarsely: for the TLS alert that tells the peer.
enum class SvidDefect {
  kNone,
  kMalformed,      // Not an X509-SVID, whoever signed it.
  kUnknownIssuer,  // No path to a root of its trust domain, or no bundle for that.
  kExpired,        // A certificate of the path has ended.
  kNotYetValid,    // A certificate of the path has not begun.
};

// Verifies a chain, leaf first, as an X509-SVID (X509-SVID.md section 5) at the time `now`: at most
// 4 certificates; RFC 5280 path to a root of the bundle of the leaf's own trust domain; exactly one
// URI SAN, which is a SPIFFE ID with a path; cA false; key usage present, critical, with
// digitalSignature and without keyCertSign and cRLSign; extended key usage, where present, with
// serverAuth and clientAuth.
//
// `now` counts in whole seconds, as X.509 does. Thread-safe.
//
// Unauthenticated says what failed and names the certificate's identity or subject; for times it
// says by how much
// ("expired 9 s ago"), so that skewed clocks are recognised. `defect`, where given, is always set.
absl::StatusOr<VerifiedSvid> VerifySvid(const CertificateChain& chain,
                                        const TrustBundleSet& bundles, absl::Time now,
                                        SvidDefect* defect = nullptr);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_
