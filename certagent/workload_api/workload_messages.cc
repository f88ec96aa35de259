#include "certagent/workload_api/workload_messages.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/secret_bytes.h"

namespace byrnie {
namespace {

std::string ConcatenatedDer(const std::vector<CertificatePtr>& certificates) {
  std::string der;
  for (const CertificatePtr& certificate : certificates) {
    absl::StrAppend(&der, certificate->der());
  }
  return der;
}

}  // namespace

std::string TrustDomainId(absl::string_view trust_domain) {
  return absl::StrCat("spiffe://", trust_domain);
}

X509SVIDResponse MakeX509SvidResponse(const WorkloadState& state) {
  const IdentitySnapshot& snapshot = *state.snapshot;
  const absl::string_view own = snapshot.id().trust_domain();
  X509SVIDResponse response;
  X509SVID* svid = response.add_svids();
  svid->set_spiffe_id(snapshot.id().text());
  svid->set_x509_svid(ConcatenatedDer(snapshot.chain()));
  const SecretBytes key = state.key->ToPkcs8();
  svid->set_x509_svid_key(key.view().data(), key.size());
  for (const auto& [trust_domain, bundle] : snapshot.bundles().bundles()) {
    std::string roots = ConcatenatedDer(bundle.roots);
    for (const RevocationListPtr& list : bundle.crls) response.add_crl(list->der());
    if (trust_domain == own) {
      svid->set_bundle(std::move(roots));
    } else {
      (*response.mutable_federated_bundles())[TrustDomainId(trust_domain)] = std::move(roots);
    }
  }
  return response;
}

void WipeKeys(X509SVIDResponse* response) {
  for (X509SVID& svid : *response->mutable_svids()) WipeString(svid.mutable_x509_svid_key());
}

X509BundlesResponse MakeX509BundlesResponse(const TrustBundleSet& bundles) {
  X509BundlesResponse response;
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    (*response.mutable_bundles())[TrustDomainId(trust_domain)] = ConcatenatedDer(bundle.roots);
    for (const RevocationListPtr& list : bundle.crls) response.add_crl(list->der());
  }
  return response;
}

JWTBundlesResponse MakeJwtBundlesResponse(const TrustBundleSet& bundles) {
  JWTBundlesResponse response;
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    (*response.mutable_bundles())[TrustDomainId(trust_domain)] = JsonWebKeySet(bundle.jwt_keys);
  }
  return response;
}

std::string JsonWebKeySet(const std::vector<JwtKey>& keys) {
  JsonWriter json;
  json.BeginObject().Key("keys").BeginArray();
  for (const JwtKey& key : keys) {
    json.BeginObject()
        .Field("kty", "EC")
        .Field("use", "jwt-svid")
        .Field("kid", key.id)
        .Field("crv", "P-256")
        .Field("x", absl::WebSafeBase64Escape(key.key->x()))
        .Field("y", absl::WebSafeBase64Escape(key.key->y()))
        .EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Finish();
}

}  // namespace byrnie
