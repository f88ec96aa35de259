// Certificate parsing, and X509-SVID verification of whatever parses: a peer sends these bytes
// before it is anybody.

#include <cstdlib>

#include "common/crypto/certificate.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

struct Authority {
  std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  CertificatePtr root = *BuildCertificate(RootSpec(), key->PublicKeyDer(), nullptr, *key);
  TrustBundleSet bundles = *TrustBundleSet::Create({{"cluster.local", {root}}});

  static CertificateSpec RootSpec() {
    CertificateSpec spec;
    spec.common_name = "root";
    spec.not_before = kNow - absl::Hours(1);
    spec.not_after = kNow + absl::Hours(1);
    spec.is_ca = true;
    return spec;
  }

  CertificatePtr Leaf(CertificateSpec spec) const {
    spec.not_before = kNow - absl::Minutes(1);
    spec.not_after = kNow + absl::Minutes(1);
    return *BuildCertificate(spec, key->PublicKeyDer(), root.get(), *key);
  }
};

const Authority& TheAuthority() {
  static const Authority* const authority = new Authority;
  return *authority;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  CertificateSpec good, two_uris, only_server;
  good.uri_sans = {"spiffe://cluster.local/ns/default/sa/app"};
  two_uris.uri_sans = {"spiffe://cluster.local/a", "spiffe://cluster.local/b"};
  only_server.uri_sans = good.uri_sans;
  only_server.client_auth = false;
  const Authority& authority = TheAuthority();
  return {authority.root->der(), authority.Leaf(good)->der(), authority.Leaf(two_uris)->der(),
          authority.Leaf(only_server)->der(), authority.Leaf(good)->ToPem()};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::Certificate;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)Certificate::ListFromPem(bytes);
  const auto certificate = Certificate::FromDer(bytes);
  if (!certificate.ok()) return 0;
  if ((*certificate)->der() != bytes) std::abort();
  (*certificate)->Subject();
  (*certificate)->SerialHex();
  const auto svid =
      byrnie::VerifySvid({*certificate}, byrnie::TheAuthority().bundles, byrnie::kNow);
  // Nobody forges a signature by mutation: what verifies names an identity of the seeds.
  if (svid.ok() && svid->id.text() != "spiffe://cluster.local/ns/default/sa/app") std::abort();
  return 0;
}
