#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_DIGEST_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_DIGEST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// What a control plane signs with and whom it has its agents trust, as it tells others of its
// store. Certificates are named by their SHA-256, lower-case hexadecimal. A value.
struct TrustDigest {
  // More are not told.
  static constexpr size_t kMaxRoots = 32;

  // Sorted. None: it is not known.
  std::vector<std::string> roots;
  // The root that what it issues leads to, and the certificate whose key signs.
  std::string signing_root, issuer;
  // The CA is plugged: roots of its own are in the store, and the same for all.
  bool plugged = false;

  bool operator==(const TrustDigest& other) const {
    return roots == other.roots && signing_root == other.signing_root && issuer == other.issuer &&
           plugged == other.plugged;
  }
};

TrustDigest DigestOf(const AuthoritySnapshot& snapshot, bool plugged);

// What does not go together between two control planes of a store.
struct TrustDifference {
  // What the other issues leads to that root, which is none of those here; empty: it does not.
  std::string refused_here;
  // The same of what is issued here and the roots there.
  std::string refused_there;
  // Roots that one of the two has alone.
  std::vector<std::string> only_here, only_there;
  // Another certificate signs there, which is no fault.
  bool other_issuer = false;

  bool refuses() const { return !refused_here.empty() || !refused_there.empty(); }
  bool differs() const { return refuses() || !only_here.empty() || !only_there.empty(); }
};

// Of two that follow one trust record nothing is said: it is the same, or one of them is about to
// hear of it. Nor of one that does not tell its roots.
TrustDifference CompareTrust(const TrustDigest& here, const TrustDigest& there);

// What the difference means, for people; `other` is what the other one is called.
std::string DifferenceText(absl::string_view other, const TrustDifference& difference);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_DIGEST_H_
