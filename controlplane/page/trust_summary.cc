#include "controlplane/page/trust_summary.h"

#include <algorithm>

#include "common/crypto/certificate.h"

namespace byrnie {

TrustSummary Summarize(const RotationStatus& status) {
  TrustSummary summary;
  summary.mode = "self-signed root";
  summary.rotates = true;
  for (const RootInfo& root : status.roots) {
    summary.roots.push_back(
        {root.id, root.subject, root.not_after, root.trusted, root.signs, root.tainted});
  }
  summary.move = std::string(RotationMoveName(status.move));
  summary.consequence = status.consequence;
  if (!status.step.has_value()) return summary;
  summary.step = std::string(RotationStepName(*status.step));
  summary.since = status.since;
  summary.automatic = status.automatic;
  summary.blockers_total = status.blockers.size();
  const size_t shown = std::min(status.blockers.size(), TrustSummary::kMaxBlockers);
  for (size_t i = 0; i < shown; ++i) {
    const RotationBlocker& blocker = status.blockers[i];
    summary.blockers.push_back({blocker.agent, blocker.address, blocker.reason});
  }
  return summary;
}

TrustSummary Summarize(const AuthoritySnapshot& plugged) {
  TrustSummary summary;
  summary.mode = "plugged CA";
  for (const CertificatePtr& root : plugged.roots) {
    const bool signs = root->der() == plugged.signer->root()->der();
    summary.roots.push_back({root->FingerprintHex(), root->Subject(), root->not_after(),
                             /*trusted=*/true, signs, /*tainted=*/false});
  }
  return summary;
}

}  // namespace byrnie
