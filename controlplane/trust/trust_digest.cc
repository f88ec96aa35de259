#include "controlplane/trust/trust_digest.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {
namespace {

// One that tells of as many as it may has perhaps more.
bool MayHave(const TrustDigest& digest, const std::string& root) {
  return digest.roots.size() >= TrustDigest::kMaxRoots ||
         std::binary_search(digest.roots.begin(), digest.roots.end(), root);
}

std::vector<std::string> OnlyIn(const TrustDigest& one, const TrustDigest& other) {
  std::vector<std::string> only;
  for (const std::string& root : one.roots) {
    if (!MayHave(other, root)) only.push_back(root);
  }
  return only;
}

std::string ShortIds(const std::vector<std::string>& ids) {
  return absl::StrJoin(ids, ", ", [](std::string* out, const std::string& id) {
    out->append(ShortFingerprint(id));
  });
}

}  // namespace

constexpr size_t TrustDigest::kMaxRoots;

TrustDigest DigestOf(const AuthoritySnapshot& snapshot, bool plugged) {
  TrustDigest digest;
  for (const CertificatePtr& root : snapshot.roots) digest.roots.push_back(root->FingerprintHex());
  std::sort(digest.roots.begin(), digest.roots.end());
  digest.roots.erase(std::unique(digest.roots.begin(), digest.roots.end()), digest.roots.end());
  if (digest.roots.size() > TrustDigest::kMaxRoots) digest.roots.resize(TrustDigest::kMaxRoots);
  digest.signing_root = snapshot.signer->root_id();
  digest.issuer = snapshot.signer->issuer().FingerprintHex();
  digest.plugged = plugged;
  return digest;
}

TrustDifference CompareTrust(const TrustDigest& here, const TrustDigest& there) {
  TrustDifference difference;
  if (here.roots.empty() || there.roots.empty()) return difference;
  if (!here.plugged && !there.plugged) return difference;
  if (!MayHave(here, there.signing_root)) difference.refused_here = there.signing_root;
  if (!MayHave(there, here.signing_root)) difference.refused_there = here.signing_root;
  difference.only_here = OnlyIn(here, there);
  difference.only_there = OnlyIn(there, here);
  difference.other_issuer = here.issuer != there.issuer;
  return difference;
}

std::string DifferenceText(absl::string_view other, const TrustDifference& difference) {
  std::vector<std::string> parts;
  if (!difference.refused_here.empty()) {
    parts.push_back(absl::StrCat("what ", other, " issues leads to the root ",
                                 ShortFingerprint(difference.refused_here),
                                 ", which is none of those here: agents of this one refuse it"));
  }
  if (!difference.refused_there.empty()) {
    parts.push_back(absl::StrCat("what is issued here leads to the root ",
                                 ShortFingerprint(difference.refused_there), ", which ", other,
                                 " does not have: its agents refuse it"));
  }
  if (!difference.refuses() && !difference.only_here.empty()) {
    parts.push_back(
        absl::StrCat("only here is the root ", ShortIds(difference.only_here), ", not at ", other));
  }
  if (!difference.refuses() && !difference.only_there.empty()) {
    parts.push_back(
        absl::StrCat("only ", other, " has the root ", ShortIds(difference.only_there)));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace byrnie
