// Certificate parsing, and X509-SVID verification of whatever parses: a peer sends these bytes
// before it is anybody. A valid signature is no defence against what it covers, so some inputs are
// signed by the root that the verifier trusts.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/secret_bytes.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1800000000);
constexpr char kId[] = "spiffe://cluster.local/ns/default/sa/app";

void Expect(bool condition) {
  if (!condition) std::abort();
}

// The first byte of an input: certificates one after the other, leaf first, or a TBSCertificate
// (RFC 5280 section 4.1) that is signed here.
enum Kind : char { kChain = 0, kToBeSigned = 1 };

// A DER element, with the shortest form of its length.
std::string Element(char tag, absl::string_view content) {
  std::string digits;
  for (size_t rest = content.size(); rest > 0; rest >>= 8) {
    digits.insert(digits.begin(), static_cast<char>(rest & 0xff));
  }
  std::string bytes = {tag};
  if (content.size() >= 0x80) bytes.push_back(static_cast<char>(0x80 | digits.size()));
  return bytes + digits + std::string(content);
}

// Takes one element off `bytes`, with its head or its content alone; all of them where the length
// is none.
absl::string_view TakeElement(absl::string_view* bytes, bool content_alone = false) {
  const auto at = [bytes](size_t i) { return static_cast<uint8_t>((*bytes)[i]); };
  size_t head = 2, size = bytes->size() < 2 ? bytes->size() : at(1);
  if (size >= 0x80) {
    const size_t digits = size & 0x7f;
    head += digits;
    size = 0;
    for (size_t i = 2; i < head && i < bytes->size() && digits <= 3; ++i) size = size << 8 | at(i);
  }
  const absl::string_view whole = bytes->substr(0, head + size);
  bytes->remove_prefix(whole.size());
  return content_alone ? whole.substr(std::min(head, whole.size())) : whole;
}

// The same key in every run, so that kept inputs stay valid: its secret is the number 1.
std::shared_ptr<const PrivateKey> KnownKey() {
  std::string pkcs8(
      "\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce"
      "\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20",
      35);
  pkcs8.append(31, '\0').push_back('\1');
  return *PrivateKey::FromPkcs8(SecretBytes::TakeFrom(&pkcs8));
}

struct Authority {
  std::shared_ptr<const PrivateKey> key = KnownKey();
  CertificatePtr root = *BuildCertificate(CaSpec("root"), key->PublicKeyDer(), nullptr, *key);
  TrustBundleSet bundles = *TrustBundleSet::Create({{"cluster.local", {{root}}}});

  static CertificateSpec CaSpec(const char* name) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.not_before = kNow - absl::Hours(1);
    spec.not_after = kNow + absl::Hours(1);
    spec.is_ca = true;
    return spec;
  }

  CertificatePtr Leaf(CertificateSpec spec, const Certificate* issuer = nullptr) const {
    spec.not_before = kNow - absl::Minutes(1);
    spec.not_after = kNow + absl::Minutes(1);
    return *BuildCertificate(spec, key->PublicKeyDer(), issuer == nullptr ? root.get() : issuer,
                             *key);
  }

  std::string Sign(absl::string_view to_be_signed) const {
    const std::string signature = *key->SignEcdsaSha256(absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(to_be_signed.data()), to_be_signed.size()));
    // ecdsa-with-SHA256.
    const std::string algorithm("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);
    const std::string bits = Element('\x03', std::string(1, '\0') + signature);
    return Element('\x30', std::string(to_be_signed) + algorithm + bits);
  }
};

const Authority& TheAuthority() {
  static const Authority* const authority = new Authority;
  return *authority;
}

CertificateChain ParseChain(absl::string_view bytes) {
  CertificateChain chain;
  // One more than a verifier takes.
  while (!bytes.empty() && chain.size() < 5) {
    const absl::string_view der = TakeElement(&bytes);
    absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(der);
    if (!certificate.ok()) break;
    Expect((*certificate)->der() == der);
    (*certificate)->Subject();
    (*certificate)->SerialHex();
    chain.push_back(*std::move(certificate));
  }
  return chain;
}

void Verify(absl::string_view certificates, bool signed_here) {
  const CertificateChain chain = ParseChain(certificates);
  if (chain.empty()) return;
  SvidDefect defect;
  const auto svid = VerifySvid(chain, TheAuthority().bundles, kNow, &defect);
  Expect(svid.ok() == (defect == SvidDefect::kNone));
  if (!svid.ok()) return;
  const Certificate& leaf = *chain.front();
  Expect(!leaf.is_ca() && leaf.uri_sans() == std::vector<std::string>{svid->id.text()});
  Expect(svid->id.trust_domain() == "cluster.local");
  Expect(leaf.not_before() <= kNow && kNow <= leaf.not_after());
  Expect(svid->not_after <= leaf.not_after());
  // Nobody forges a signature by mutation: what verifies names an identity of the seeds.
  Expect(signed_here || svid->id.text() == kId);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  CertificateSpec good, two_uris, only_server;
  good.uri_sans = {kId};
  two_uris.uri_sans = {"spiffe://cluster.local/a", "spiffe://cluster.local/b"};
  only_server.uri_sans = good.uri_sans;
  only_server.client_auth = false;
  const Authority& authority = TheAuthority();
  const CertificatePtr intermediate =
      *BuildCertificate(Authority::CaSpec("middle"), authority.key->PublicKeyDer(),
                        authority.root.get(), *authority.key);
  std::vector<std::string> seeds;
  std::string long_chain;
  for (const CertificatePtr& certificate :
       {authority.root, authority.Leaf(good), authority.Leaf(two_uris),
        authority.Leaf(only_server)}) {
    absl::string_view der = certificate->der();
    long_chain.append(der.data(), der.size());
    seeds.push_back(std::string(1, kChain) + std::string(der));
    absl::string_view content = TakeElement(&der, /*content_alone=*/true);
    seeds.push_back(std::string(1, kToBeSigned) + std::string(TakeElement(&content)));
  }
  seeds.push_back(std::string(1, kChain) +
                  std::string(authority.Leaf(good, intermediate.get())->der()) +
                  std::string(intermediate->der()));
  seeds.push_back(std::string(1, kChain) + long_chain + long_chain);
  seeds.push_back(std::string(1, kChain) + authority.Leaf(good)->ToPem());
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & byrnie::kToBeSigned) != 0) {
    byrnie::Verify(byrnie::TheAuthority().Sign(bytes), true);
    return 0;
  }
  (void)byrnie::Certificate::ListFromPem(bytes);
  (void)byrnie::Certificate::FromDer(bytes);
  byrnie::Verify(bytes, false);
  return 0;
}
