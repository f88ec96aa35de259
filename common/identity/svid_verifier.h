#ifndef BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_
#define BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/identity/verified_paths.h"

namespace byrnie {

// The limits of what a peer may present; more is refused before it is parsed or verified.
inline constexpr size_t kMaxSvidChain = 4;
inline constexpr size_t kMaxSvidChainBytes = 16 * 1024;
// As PEM, line ends and all.
inline constexpr size_t kMaxSvidChainPem = 2 * kMaxSvidChainBytes;

// A peer, or ourselves, proven by a certificate chain.
struct VerifiedSvid {
  SpiffeId id;
  // The earliest notAfter of the path, its root included: nothing may rely on the identity later.
  absl::Time not_after;
};

// Why a chain was refused, coarsely: for the TLS alert that tells the peer, and for counting.
enum class SvidDefect {
  kNone,
  kMalformed,          // Not an X509-SVID, or not a path that RFC 5280 allows, whoever signed it.
  kUnknownIssuer,      // No path to a root of its trust domain, or no bundle for that.
  kExpired,            // A certificate of the path has ended.
  kNotYetValid,        // A certificate of the path has not begun.
  kRevoked,            // A certificate of the path is revoked.
  kRevocationUnknown,  // There are revocation lists, and none that can say that it is not.
};

// Verifies a chain, leaf first, as an X509-SVID (X509-SVID.md section 5) at the time `now`: the
// only judge of certificates in proxy, agent and control plane.
//
// At most 4 certificates and 16 KiB; what svid_rules.h asks of each; exactly one URI SAN in the
// leaf, which is a SPIFFE ID with a path. A path by RFC 5280 section 6 to a root of the bundle of
// the leaf's own trust domain, with signatures, validity, path lengths (the root's too), name
// constraints (URI constraints bind the trust domain) and no critical extension that is not
// understood. Where the bundle has revocation lists, each certificate of the path must be known not
// to be revoked.
//
// The cost is bounded whatever a peer sends: nothing is verified before sizes, counts and keys have
// been looked at, and a path takes at most four signatures for each root that has its issuer's
// name. `now` counts in whole seconds, as X.509 does. Thread-safe.
//
// Unauthenticated says what failed, names the certificate's identity or subject and, for times, by
// how much ("expired 9 s ago"), so that skewed clocks are recognised. `defect`, where given, is
// always set.
//
// `known`, where given, remembers good paths: a chain that it knows is judged as any other, without
// verifying the same signatures again.
absl::StatusOr<VerifiedSvid> VerifySvid(const CertificateChain& chain,
                                        const TrustBundleSet& bundles, absl::Time now,
                                        SvidDefect* defect = nullptr,
                                        VerifiedPaths* known = nullptr);

// As VerifySvid, but for one's own chain: whether it is revoked is for others to judge, and bundles
// that revoke it must come into force all the same.
absl::StatusOr<VerifiedSvid> VerifyOwnSvid(const CertificateChain& chain,
                                           const TrustBundleSet& bundles, absl::Time now);

// Judges a chain again that VerifySvid has accepted, by other bundles. Certificates that have ended
// meanwhile are judged as of their end, `not_after`: what that means for open connections is for
// others to say, and trust alone is asked for here. Revocation is judged at `now`.
absl::Status ReverifySvid(const CertificateChain& chain, const TrustBundleSet& bundles,
                          absl::Time not_after, absl::Time now, SvidDefect* defect);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_SVID_VERIFIER_H_
