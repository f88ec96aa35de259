#include "certagent/ca_messages.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// More than any verifier accepts, less than what is worth parsing.
constexpr int kMaxChain = 8;

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

}  // namespace

absl::StatusOr<TrustBundleUpdate> ParseTrustBundles(const ca::v1::TrustBundles& message) {
  TrustBundleMap bundles;
  for (const ca::v1::TrustBundle& bundle : message.bundles()) {
    std::vector<CertificatePtr>& roots = bundles[bundle.trust_domain()].roots;
    for (const std::string& der : bundle.roots()) {
      ASSIGN_OR_RETURN(CertificatePtr root, Certificate::FromDer(der));
      roots.push_back(std::move(root));
    }
    for (const std::string& der : bundle.crls()) {
      ASSIGN_OR_RETURN(RevocationListPtr list, RevocationList::FromDer(der));
      bundles[bundle.trust_domain()].crls.push_back(std::move(list));
    }
    std::vector<JwtKey>& keys = bundles[bundle.trust_domain()].jwt_keys;
    for (const ca::v1::JwtKey& message : bundle.jwt_keys()) {
      JwtKey key;
      key.id = message.key_id();
      ASSIGN_OR_RETURN(key.key, PublicKey::FromDer(message.public_key()));
      key.not_after = ToTime(message.not_after());
      keys.push_back(std::move(key));
    }
  }
  if (bundles.empty()) return absl::InvalidArgumentError("the trust bundles are empty");
  TrustBundleUpdate update;
  update.version = message.version();
  ASSIGN_OR_RETURN(update.bundles, TrustBundleSet::Create(std::move(bundles)));
  for (const ca::v1::TaintedRoot& tainted : message.tainted_roots()) {
    update.tainted_roots.push_back({absl::BytesToHexString(tainted.sha256()),
                                    absl::Seconds(tainted.renew_within().seconds()) +
                                        absl::Nanoseconds(tainted.renew_within().nanos())});
  }
  return update;
}

absl::StatusOr<IssuedCertificate> ParseIssueResponse(const ca::v1::IssueResponse& message) {
  IssuedCertificate issued;
  if (message.certificate_chain().empty() || message.certificate_chain_size() > kMaxChain) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the authority sent a chain of ", message.certificate_chain_size(), " certificates"));
  }
  for (const std::string& der : message.certificate_chain()) {
    ASSIGN_OR_RETURN(CertificatePtr certificate, Certificate::FromDer(der));
    issued.chain.push_back(std::move(certificate));
  }
  if (message.has_trust_bundles()) {
    issued.trust_bundles = ParseTrustBundles(message.trust_bundles());
  }
  if (message.has_renewal_window()) {
    issued.renewal_window = RenewalWindow{ToTime(message.renewal_window().start()),
                                          ToTime(message.renewal_window().end())};
  }
  if (message.has_authority_time()) issued.authority_time = ToTime(message.authority_time());
  return issued;
}

}  // namespace byrnie
