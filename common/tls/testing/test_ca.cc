#include "common/tls/testing/test_ca.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

template <typename T>
T Need(absl::StatusOr<T> value) {
  CHECK_OK(value);
  return *std::move(value);
}

}  // namespace

TestCa::TestCa(absl::string_view trust_domain, absl::Time start)
    : trust_domain_(trust_domain), start_(start), key_(Need(PrivateKey::Generate())) {
  CertificateSpec spec = IntermediateSpec();
  spec.common_name = absl::StrCat("test root of ", trust_domain);
  certificate_ = Need(BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_));
  root_ = certificate_;
}

CertificateSpec TestCa::IntermediateSpec() const {
  CertificateSpec spec;
  spec.common_name = absl::StrCat("test intermediate ", above_.size() + 1);
  spec.is_ca = true;
  spec.not_before = start_ - absl::Hours(1);
  spec.not_after = start_ + 10 * 365 * absl::Hours(24);
  return spec;
}

TestCa TestCa::MakeIntermediate(const CertificateSpec& spec) const {
  TestCa below;
  below.trust_domain_ = trust_domain_;
  below.start_ = start_;
  below.key_ = Need(PrivateKey::Generate());
  below.certificate_ =
      Need(BuildCertificate(spec, below.key_->PublicKeyDer(), certificate_.get(), *key_));
  below.root_ = root_;
  below.above_ = above_;
  below.above_.insert(below.above_.begin(), below.certificate_);
  return below;
}

CertificateSpec TestCa::SvidSpec(absl::string_view path) const {
  CertificateSpec spec;
  spec.uri_sans = {absl::StrCat("spiffe://", trust_domain_, path)};
  spec.not_before = start_ - absl::Minutes(1);
  spec.not_after = start_ + absl::Hours(1);
  return spec;
}

TestIdentity TestCa::IssueSvid(absl::string_view path, absl::Duration lifetime) const {
  CertificateSpec spec = SvidSpec(path);
  spec.not_after = spec.not_before + lifetime;
  return Issue(spec);
}

TestIdentity TestCa::Issue(const CertificateSpec& spec) const {
  TestIdentity identity;
  identity.key = Need(PrivateKey::Generate());
  identity.chain = above_;
  identity.chain.insert(
      identity.chain.begin(),
      Need(BuildCertificate(spec, identity.key->PublicKeyDer(), certificate_.get(), *key_)));
  return identity;
}

TrustBundleSet TestCa::Bundles() const {
  return Need(TrustBundleSet::Create({{trust_domain_, {{root_}}}}));
}

}  // namespace byrnie
