#ifndef BYRNIE_COMMON_IDENTITY_SVID_ROOT_H_
#define BYRNIE_COMMON_IDENTITY_SVID_ROOT_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// Which root of `trust_domain` a chain leads to that VerifySvid, or VerifyOwnSvid, has accepted by
// these bundles; the first where there are several, null where there is none any more. Costs
// signatures only while the trust domain has more than one root.
CertificatePtr RootOf(const CertificateChain& chain, const TrustBundleSet& bundles,
                      absl::string_view trust_domain, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_SVID_ROOT_H_
