#include "ctl/verify_chains.h"

#include "absl/strings/str_cat.h"
#include "common/base/utc_text.h"
#include "common/crypto/certificate.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {

std::string VerifyChainText(absl::string_view pem, const TrustBundleSet& bundles, absl::Time at,
                            bool* good) {
  *good = false;
  absl::StatusOr<CertificateChain> chain = Certificate::ListFromPem(pem);
  if (!chain.ok()) return absl::StrCat("refused, ", chain.status().message());
  absl::StatusOr<VerifiedSvid> svid = VerifySvid(*chain, bundles, at);
  if (!svid.ok()) return absl::StrCat("refused, ", svid.status().message());
  *good = true;
  return absl::StrCat("good, ", svid->id.text(), ", until ", UtcText(svid->not_after));
}

}  // namespace byrnie
