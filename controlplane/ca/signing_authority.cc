#include "controlplane/ca/signing_authority.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

void SetHosts(const std::vector<std::string>& hosts, CertificateSpec* spec) {
  for (const std::string& host : hosts) {
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(host);
    if (address.ok()) {
      spec->ip_sans.push_back(address->ToBytes());
    } else {
      spec->dns_sans.push_back(host);
    }
  }
}

}  // namespace

SigningAuthority::SigningAuthority(CertificatePtr root, CertificateChain intermediates,
                                   std::shared_ptr<const IssuerKey> key)
    : root_(std::move(root)),
      intermediates_(std::move(intermediates)),
      key_(std::move(key)),
      root_id_(root_->FingerprintHex()),
      not_before_(root_->not_before()),
      not_after_(root_->not_after()) {
  for (const CertificatePtr& intermediate : intermediates_) {
    not_before_ = std::max(not_before_, intermediate->not_before());
    not_after_ = std::min(not_after_, intermediate->not_after());
  }
}

absl::StatusOr<SigningAuthorityPtr> SigningAuthority::Create(
    absl::string_view trust_domain, CertificatePtr root, CertificateChain intermediates,
    std::shared_ptr<const IssuerKey> key, absl::Time now, const std::vector<std::string>& hosts) {
  auto authority = absl::WrapUnique(
      new SigningAuthority(std::move(root), std::move(intermediates), std::move(key)));
  if (!authority->issuer().MatchesKey(*authority->key_)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the CA certificate ", authority->issuer().Subject(), " does not belong to the CA key"));
  }
  // A clock that is behind makes nothing of what has been made already wrong.
  RETURN_IF_ERROR(authority->Try(trust_domain, std::max(now, authority->not_before_), hosts));
  return SigningAuthorityPtr(std::move(authority));
}

absl::Status SigningAuthority::Try(absl::string_view trust_domain, absl::Time now,
                                   const std::vector<std::string>& hosts) {
  // An identity nobody else may have.
  ASSIGN_OR_RETURN(SpiffeId id,
                   SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, "/byrnie/trial")));
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> leaf_key, PrivateKey::Generate());
  TrustBundleMap bundle;
  bundle[std::string(trust_domain)].roots = {root_};
  ASSIGN_OR_RETURN(TrustBundleSet bundles, TrustBundleSet::Create(std::move(bundle)));
  // Not cut to the path, so that it is the path's times that are judged.
  CertificateSpec spec;
  spec.uri_sans = {id.text()};
  SetHosts(hosts, &spec);
  spec.not_before = now - absl::Minutes(1);
  spec.not_after = now + absl::Minutes(1);
  ASSIGN_OR_RETURN(CertificatePtr leaf,
                   BuildCertificate(spec, leaf_key->PublicKeyDer(), &issuer(), *key_));
  CertificateChain chain = {leaf};
  chain.insert(chain.end(), intermediates_.begin(), intermediates_.end());
  const absl::Status verified = VerifySvid(chain, bundles, now).status();
  if (!verified.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificates of this CA would be refused: ", verified.message(),
                     hosts.empty() ? ""
                                   : absl::StrCat("; the control plane's own are for the "
                                                  "host names ",
                                                  absl::StrJoin(hosts, ", "), ", too")));
  }
  trial_ = std::move(leaf);
  return absl::OkStatus();
}

std::vector<const Certificate*> SigningAuthority::TrialPath() const {
  std::vector<const Certificate*> path = {trial_.get()};
  for (const CertificatePtr& above : intermediates_) path.push_back(above.get());
  path.push_back(root_.get());
  return path;
}

absl::StatusOr<CertificateChain> SigningAuthority::Sign(
    const SpiffeId& id, absl::string_view public_key_der, absl::Time not_before,
    absl::Time not_after, const std::vector<std::string>& hosts) const {
  CertificateSpec spec;
  spec.uri_sans = {id.text()};
  SetHosts(hosts, &spec);
  spec.not_before = std::max(not_before, not_before_);
  spec.not_after = std::min(not_after, not_after_);
  if (spec.not_after <= spec.not_before) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the CA's certificates are good from ", UtcText(not_before_), " to ", UtcText(not_after_)));
  }
  ASSIGN_OR_RETURN(CertificatePtr leaf, BuildCertificate(spec, public_key_der, &issuer(), *key_));
  CertificateChain chain = {std::move(leaf)};
  chain.insert(chain.end(), intermediates_.begin(), intermediates_.end());
  return chain;
}

}  // namespace byrnie
