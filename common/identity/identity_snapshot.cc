#include "common/identity/identity_snapshot.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {

absl::StatusOr<std::shared_ptr<const IdentitySnapshot>> IdentitySnapshot::Create(
    uint64_t generation, CertificateChain chain, TrustBundleSet bundles, absl::Time now,
    absl::optional<absl::Duration> clock_offset) {
  ASSIGN_OR_RETURN(VerifiedSvid svid, VerifyOwnSvid(chain, bundles, now));
  return std::shared_ptr<const IdentitySnapshot>(
      new IdentitySnapshot(generation, std::move(svid.id), std::move(chain), std::move(bundles),
                           svid.not_after, clock_offset));
}

}  // namespace byrnie
