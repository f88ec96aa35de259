#include "common/identity/identity_snapshot.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {
namespace {

std::string Seconds(absl::Duration duration) {
  return absl::FormatDuration(absl::Ceil(duration, absl::Seconds(1)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const IdentitySnapshot>> IdentitySnapshot::Create(
    uint64_t generation, CertificateChain chain, TrustBundleSet bundles, absl::Time now,
    absl::optional<absl::Duration> clock_offset) {
  ASSIGN_OR_RETURN(VerifiedSvid svid, VerifyOwnSvid(chain, bundles, now));
  return std::shared_ptr<const IdentitySnapshot>(
      new IdentitySnapshot(generation, std::move(svid.id), std::move(chain), std::move(bundles),
                           svid.not_after, clock_offset));
}

absl::Status IdentitySnapshot::CheckValidAt(absl::Time now) const {
  return CheckOwnValidity(leaf().not_before(), not_after_, now);
}

absl::Status CheckOwnValidity(absl::Time not_before, absl::Time not_after, absl::Time now) {
  if (not_after <= now) {
    return absl::FailedPreconditionError(
        absl::StrCat("the own certificate expired ", Seconds(now - not_after), " ago"));
  }
  if (now < not_before) {
    return absl::FailedPreconditionError(absl::StrCat("the own certificate is valid in ",
                                                      Seconds(not_before - now),
                                                      "; is the clock of this machine behind?"));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
