#include "common/identity/trust_bundle.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/svid_rules.h"

namespace byrnie {

namespace {

absl::Status CheckRoot(const CertificatePtr& root) {
  if (root == nullptr) return absl::InvalidArgumentError("a null certificate");
  RETURN_IF_ERROR(CheckShape(*root));
  return CheckSigner(*root);
}

template <typename T>
bool SameBytes(const std::vector<std::shared_ptr<const T>>& a,
               const std::vector<std::shared_ptr<const T>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x->der() == y->der(); });
}

}  // namespace

absl::StatusOr<TrustBundleSet> TrustBundleSet::Create(TrustBundleMap bundles) {
  size_t lists = 0, list_bytes = 0;
  for (const auto& [trust_domain, bundle] : bundles) {
    RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(trust_domain));
    // An empty bundle looks like one that trusts nobody, and is far more often a mistake of its
    // maker.
    if (bundle.roots.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("trust bundle of ", trust_domain, " without a certificate"));
    }
    for (const CertificatePtr& root : bundle.roots) {
      const absl::Status usable = CheckRoot(root);
      if (!usable.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("trust bundle of ", trust_domain, ": ", usable.message()));
      }
    }
    std::set<absl::string_view> key_ids;
    for (const JwtKey& key : bundle.jwt_keys) {
      if (key.key == nullptr || key.id.empty() || key.id.size() > JwtKey::kMaxIdLength ||
          !key_ids.insert(key.id).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("trust bundle of ", trust_domain, ": a JWT key without an id of its own"));
      }
    }
    for (const RevocationListPtr& list : bundle.crls) {
      if (list == nullptr) return absl::InvalidArgumentError("a null revocation list");
      ++lists;
      list_bytes += list->der().size();
    }
  }
  if (lists > kMaxRevocationLists || list_bytes > kMaxRevocationListBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        lists, " revocation lists of ", list_bytes, " bytes; at most ", kMaxRevocationLists, " of ",
        kMaxRevocationListBytes, " bytes together are taken"));
  }
  TrustBundleSet set;
  set.bundles_ = std::move(bundles);
  return set;
}

absl::StatusOr<TrustBundleSet> TrustBundleSet::FromPem(absl::string_view trust_domain,
                                                       absl::string_view pem) {
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> roots, Certificate::ListFromPem(pem));
  return Create({{std::string(trust_domain), {std::move(roots)}}});
}

bool operator==(const TrustBundleSet& a, const TrustBundleSet& b) {
  return std::equal(a.bundles_.begin(), a.bundles_.end(), b.bundles_.begin(), b.bundles_.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && SameBytes(x.second.roots, y.second.roots) &&
                             SameBytes(x.second.crls, y.second.crls) &&
                             x.second.jwt_keys == y.second.jwt_keys;
                    });
}

absl::Status CheckHasCurrentRoot(const std::vector<CertificatePtr>& roots, absl::Time now) {
  absl::Time latest = absl::InfinitePast();
  for (const CertificatePtr& root : roots) latest = std::max(latest, root->not_after());
  if (latest > now) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("all its roots have expired, the last at ", UtcText(latest)));
}

absl::StatusOr<TrustBundleSet> WithRevocationLists(const TrustBundleSet& set,
                                                   const RevocationListMap& lists) {
  TrustBundleMap map = set.bundles();
  for (auto& [trust_domain, bundle] : map) {
    const auto found = lists.find(trust_domain);
    if (found == lists.end()) continue;
    for (const RevocationListPtr& list : found->second) {
      const bool known =
          std::any_of(bundle.crls.begin(), bundle.crls.end(),
                      [&](const RevocationListPtr& other) { return other->der() == list->der(); });
      if (!known) bundle.crls.push_back(list);
    }
  }
  return TrustBundleSet::Create(std::move(map));
}

RevocationListAges AgesOf(const TrustBundleSet& bundles) {
  RevocationListAges ages;
  const auto lower = [](int64_t* least, absl::Time time) {
    const int64_t seconds = absl::ToUnixSeconds(time);
    if (*least == 0 || seconds < *least) *least = seconds;
  };
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    for (const RevocationListPtr& list : bundle.crls) {
      lower(&ages.oldest_this_update, list->this_update());
      lower(&ages.earliest_next_update, list->next_update());
    }
  }
  return ages;
}

const TrustBundle* TrustBundleSet::Find(absl::string_view trust_domain) const {
  const auto found = bundles_.find(trust_domain);
  return found == bundles_.end() ? nullptr : &found->second;
}

}  // namespace byrnie
