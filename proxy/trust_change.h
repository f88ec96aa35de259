#ifndef BYRNIE_PROXY_TRUST_CHANGE_H_
#define BYRNIE_PROXY_TRUST_CHANGE_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// Which trust a new set of bundles takes away. A peer that was verified with the old set counts as
// not proven any more when its trust domain has lost a root, because a verified connection does not
// say which root it was verified by. Immutable.
class TrustChange {
 public:
  TrustChange(const TrustBundleSet& before, const TrustBundleSet& after);

  bool RemovesAnything() const { return !affected_.empty(); }
  // True when peers of `trust_domain` must prove themselves anew.
  bool Affects(absl::string_view trust_domain) const { return affected_.contains(trust_domain); }

 private:
  absl::flat_hash_set<std::string> affected_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TRUST_CHANGE_H_
