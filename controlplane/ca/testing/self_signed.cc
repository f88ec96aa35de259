#include "controlplane/ca/testing/self_signed.h"

#include <utility>

#include "common/base/check.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"

namespace byrnie {

AuthoritySnapshotPtr SelfSigned(const std::string& trust_domain, absl::Time now) {
  auto key = PrivateKey::Generate();
  CHECK_OK(key);
  CertificateSpec spec;
  spec.common_name = "root of a test";
  spec.uri_sans = {"spiffe://" + trust_domain};
  spec.not_before = now - absl::Minutes(1);
  spec.not_after = now + absl::Hours(24 * 365);
  spec.is_ca = true;
  auto root = BuildCertificate(spec, (*key)->PublicKeyDer(), nullptr, **key);
  CHECK_OK(root);
  auto signer = SigningAuthority::Create(trust_domain, *root, {}, *std::move(key), now);
  CHECK_OK(signer);
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  snapshot->trust_domain = trust_domain;
  snapshot->signer = snapshot->server_signer = *signer;
  snapshot->authorities = {*signer};
  snapshot->roots = {*root};
  return snapshot;
}

}  // namespace byrnie
