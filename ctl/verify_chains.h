#ifndef BYRNIE_CTL_VERIFY_CHAINS_H_
#define BYRNIE_CTL_VERIFY_CHAINS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// What a proxy, an agent and the control plane would say about a chain of PEM certificates, leaf
// first, as one line for people: "good, spiffe://..., until ..." or "refused, WHY". `good` tells
// which.
std::string VerifyChainText(absl::string_view pem, const TrustBundleSet& bundles, absl::Time at,
                            bool* good);

}  // namespace byrnie

#endif  // BYRNIE_CTL_VERIFY_CHAINS_H_
