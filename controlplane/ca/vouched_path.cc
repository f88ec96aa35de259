#include "controlplane/ca/vouched_path.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace byrnie {

absl::Status CheckPathIsVouchedFor(const SigningAuthority& signer,
                                   const std::vector<RevocationListPtr>& lists) {
  const CertificateChain& path = signer.intermediates();
  for (size_t i = 0; i < path.size(); ++i) {
    const Certificate& issuer = i + 1 < path.size() ? *path[i + 1] : *signer.root();
    const bool vouched =
        std::any_of(lists.begin(), lists.end(),
                    [&issuer](const RevocationListPtr& list) { return list->IsIssuedBy(issuer); });
    if (vouched) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "the CA certificate ", path[i]->Subject(), " is an intermediate, whose own status only a ",
        "revocation list of ", issuer.Subject(), " tells, and none is given with --crl"));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
