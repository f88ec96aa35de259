#include "certagent/workload_api/secret_catalog.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "certagent/workload_api/workload_messages.h"
#include "common/base/check.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/sha256_fingerprint.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace byrnie {
namespace {

using envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext;
using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::extensions::transport_sockets::tls::v3::SPIFFECertValidatorConfig;

constexpr size_t kVersionLength = 32;

std::string Digest(absl::string_view content) {
  return Sha256FingerprintHex(content).substr(0, kVersionLength);
}

std::string ConcatenatedPem(const std::vector<CertificatePtr>& certificates) {
  std::string pem;
  for (const CertificatePtr& certificate : certificates) {
    absl::StrAppend(&pem, certificate->ToPem());
  }
  return pem;
}

void FillRoots(const TrustBundle& bundle, CertificateValidationContext* context) {
  context->mutable_trusted_ca()->set_inline_bytes(ConcatenatedPem(bundle.roots));
  std::string lists;
  for (const RevocationListPtr& list : bundle.crls) absl::StrAppend(&lists, list->ToPem());
  if (!lists.empty()) context->mutable_crl()->set_inline_bytes(std::move(lists));
}

void FillAllRoots(const TrustBundleSet& bundles, CertificateValidationContext* context) {
  SPIFFECertValidatorConfig config;
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    auto* domain = config.add_trust_domains();
    domain->set_name(trust_domain);
    domain->mutable_trust_bundle()->set_inline_bytes(ConcatenatedPem(bundle.roots));
  }
  auto* extension = context->mutable_custom_validator_config();
  extension->set_name("envoy.tls.cert_validator.spiffe");
  extension->mutable_typed_config()->PackFrom(config);
}

}  // namespace

const char kSecretTypeUrl[] =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

SecretCatalog::SecretCatalog(WorkloadStatePtr state) : state_(std::move(state)) {
  const IdentitySnapshot& snapshot = *state_->snapshot;
  certificate_version_ = Digest(ConcatenatedPem(snapshot.chain()));
  std::string all;
  for (const auto& [trust_domain, bundle] : snapshot.bundles().bundles()) {
    CertificateValidationContext context;
    FillRoots(bundle, &context);
    std::string version = Digest(context.SerializeAsString());
    absl::StrAppend(&all, trust_domain, " ", version, "\n");
    roots_versions_.emplace(trust_domain, std::move(version));
  }
  all_roots_version_ = Digest(all);
  version_ = Digest(absl::StrCat(certificate_version_, all_roots_version_));
}

SecretCatalog::Item SecretCatalog::Find(absl::string_view name) const {
  const SpiffeId& id = state_->snapshot->id();
  if (name == "default" || name == id.text()) return {Item::kCertificate, ""};
  if (name == "ROOTCA") return {Item::kRoots, std::string(id.trust_domain())};
  if (name == "ALL") return {Item::kAllRoots, ""};
  absl::ConsumePrefix(&name, "spiffe://");
  if (roots_versions_.find(name) != roots_versions_.end()) {
    return {Item::kRoots, std::string(name)};
  }
  return {};
}

std::string SecretCatalog::VersionOf(absl::string_view name) const {
  const Item item = Find(name);
  switch (item.kind) {
    case Item::kNone:
      return "";
    case Item::kCertificate:
      return certificate_version_;
    case Item::kRoots: {
      const auto found = roots_versions_.find(item.trust_domain);
      return found == roots_versions_.end() ? "" : found->second;
    }
    case Item::kAllRoots:
      return all_roots_version_;
  }
  return "";
}

std::vector<std::string> SecretCatalog::DefaultNames() const {
  std::vector<std::string> names = {state_->snapshot->id().text()};
  for (const auto& entry : roots_versions_) names.push_back(TrustDomainId(entry.first));
  return names;
}

google::protobuf::Any SecretCatalog::Resource(absl::string_view name) const {
  const Item item = Find(name);
  const TrustBundleSet& bundles = state_->snapshot->bundles();
  Secret secret;
  secret.set_name(std::string(name));
  switch (item.kind) {
    case Item::kNone:
      CHECK(false);
    case Item::kCertificate: {
      auto* certificate = secret.mutable_tls_certificate();
      certificate->mutable_certificate_chain()->set_inline_bytes(
          ConcatenatedPem(state_->snapshot->chain()));
      const SecretBytes key = state_->key->ToPem();
      certificate->mutable_private_key()->set_inline_bytes(key.view().data(), key.size());
      break;
    }
    case Item::kRoots:
      FillRoots(*bundles.Find(item.trust_domain), secret.mutable_validation_context());
      break;
    case Item::kAllRoots:
      FillAllRoots(bundles, secret.mutable_validation_context());
      break;
  }
  google::protobuf::Any resource;
  resource.set_type_url(kSecretTypeUrl);
  // Of the right size at once: growing would leave copies of the key behind.
  resource.mutable_value()->reserve(secret.ByteSizeLong());
  secret.SerializeToString(resource.mutable_value());
  if (item.kind == Item::kCertificate) {
    WipeString(secret.mutable_tls_certificate()->mutable_private_key()->mutable_inline_bytes());
  }
  return resource;
}

void WipeSecret(google::protobuf::Any* resource) { WipeString(resource->mutable_value()); }

}  // namespace byrnie
