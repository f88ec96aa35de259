// Certificate parsing, and X509-SVID verification of whatever parses: a peer sends these bytes
// before it is anybody. A valid signature is no defence against what it covers, so some inputs are
// signed by the root that the verifier trusts.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "common/identity/verified_paths.h"
#include "common/tls/testing/test_crl.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1800000000);
// Who is known here: of a trust domain without revocation lists, and of one that has them.
constexpr char kId[] = "spiffe://cluster.local/ns/default/sa/app";
constexpr char kListedId[] = "spiffe://lists.example/app";

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

// All that is certified here has the same key.
struct Authority {
  std::shared_ptr<const PrivateKey> key = KnownKey();
  CertificatePtr root = Make(CaSpec("root"), nullptr);
  // With nothing but leaves below it.
  CertificatePtr short_root = Make(ShortSpec(), nullptr);
  CertificatePtr revoked = Leaf(LeafSpec(kListedId));
  TrustBundleSet bundles = *TrustBundleSet::Create(
      {{"cluster.local", {{short_root, root}}},
       {"lists.example", {{root}, {MakeCrl(*root, *key, kNow, {revoked})}}}});

  static CertificateSpec CaSpec(const char* name) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.not_before = kNow - absl::Hours(1);
    spec.not_after = kNow + absl::Hours(1);
    spec.is_ca = true;
    return spec;
  }
  static CertificateSpec ShortSpec() {
    CertificateSpec spec = CaSpec("short root");
    spec.path_length = 0;
    return spec;
  }
  static CertificateSpec LeafSpec(const char* id) {
    CertificateSpec spec;
    spec.uri_sans = {id};
    spec.not_before = kNow - absl::Minutes(1);
    spec.not_after = kNow + absl::Minutes(1);
    return spec;
  }

  CertificatePtr Make(const CertificateSpec& spec, const Certificate* issuer) const {
    return *BuildCertificate(spec, key->PublicKeyDer(), issuer, *key);
  }
  CertificatePtr Leaf(const CertificateSpec& spec) const { return Make(spec, root.get()); }

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
    (*certificate)->FingerprintHex();
    (*certificate)->MatchesKey(*TheAuthority().key);
    (*certificate)->IsForHost("10.0.0.1");
    Expect(!(*certificate)->SerialHex().empty());
    chain.push_back(*std::move(certificate));
  }
  return chain;
}

void Verify(absl::string_view certificates, bool signed_here) {
  const CertificateChain chain = ParseChain(certificates);
  const TrustBundleSet& bundles = TheAuthority().bundles;
  SvidDefect defect;
  const auto svid = VerifySvid(chain, bundles, kNow, &defect);
  Expect(svid.ok() == (defect == SvidDefect::kNone));
  // Of one's own chain all is asked but whether it is revoked.
  const bool by_a_list = defect == SvidDefect::kRevoked || defect == SvidDefect::kRevocationUnknown;
  Expect(VerifyOwnSvid(chain, bundles, kNow).ok() == (svid.ok() || by_a_list));
  if (!svid.ok()) return;
  const Certificate& leaf = *chain.front();
  const std::string& id = svid->id.text();
  Expect(!leaf.is_ca() && leaf.uri_sans() == std::vector<std::string>{id});
  Expect(bundles.Find(svid->id.trust_domain()) != nullptr);
  Expect(leaf.not_before() <= kNow && kNow <= leaf.not_after());
  Expect(svid->not_after <= leaf.not_after());
  // Nobody forges a signature by mutation: what verifies names an identity of the seeds.
  Expect(signed_here || id == kId || id == kListedId);
  // A chain that is known already, and one that is judged again after it has ended.
  VerifiedPaths known;
  for (int i = 0; i < 2; ++i) {
    Expect(VerifySvid(chain, bundles, kNow, nullptr, &known)->id == svid->id);
    Expect(known.size() == 1);
  }
  Expect(ReverifySvid(chain, bundles, svid->not_after, kNow + absl::Minutes(30), &defect).ok());
}

// A certificate that is not as LeafSpec or CaSpec has it.
using Spoil = void (*)(CertificateSpec*);

constexpr char kNameConstraints[] = "2.5.29.30";
constexpr char kExtendedKeyUsage[] = "2.5.29.37";
constexpr char kUnknown[] = "1.3.6.1.4.1.55555.1";

// What its certificate alone says against a leaf.
const Spoil kBadLeaves[] = {
    [](CertificateSpec* s) {
      s->uri_sans = {"spiffe://cluster.local/a", "spiffe://a/b"};
    },
    [](CertificateSpec* s) { s->uri_sans = {"spiffe://cluster.local"}; },
    [](CertificateSpec* s) { s->uri_sans = {"spiffe://unknown.example/a"}; },
    [](CertificateSpec* s) { s->not_after = kNow - absl::Seconds(1); },
    [](CertificateSpec* s) { s->not_before = kNow + absl::Seconds(1); },
    [](CertificateSpec* s) { *s = Authority::CaSpec("ca"); },
    [](CertificateSpec* s) { s->client_auth = false; },
    [](CertificateSpec* s) { s->server_auth = false; },
    [](CertificateSpec* s) { s->omit_key_usage = true; },
    [](CertificateSpec* s) { s->key_usage_not_critical = true; },
    [](CertificateSpec* s) { s->key_usage_cert_sign = true; },
    [](CertificateSpec* s) { s->key_usage_crl_sign = true; },
    [](CertificateSpec* s) { s->omit_digital_signature = true; },
    [](CertificateSpec* s) { s->san_not_critical = true; },
    [](CertificateSpec* s) { s->sha1 = true; },
    [](CertificateSpec* s) {
      s->server_auth = s->client_auth = false;
      // emailProtection.
      s->raw_extensions = {
          {kExtendedKeyUsage, false, Element('\x30', "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x04")}};
    },
    [](CertificateSpec* s) {
      s->raw_extensions = {{kUnknown, true, "x"}};
    },
    [](CertificateSpec* s) {
      s->raw_extensions = {{kUnknown, false, "x"}, {kUnknown, false, "y"}};
    },
    [](CertificateSpec* s) {
      for (int i = 1; i <= 33; ++i) {
        s->raw_extensions.push_back({absl::StrCat("1.3.6.1.4.1.55555.", i), false, "x"});
      }
    },
};

// Intermediates that a good leaf is not good below.
const Spoil kBadSigners[] = {
    [](CertificateSpec* s) { s->not_after = kNow - absl::Seconds(1); },
    [](CertificateSpec* s) { s->is_ca = false; },
    [](CertificateSpec* s) { s->omit_key_usage = true; },
    [](CertificateSpec* s) { s->omit_cert_sign = true; },
    [](CertificateSpec* s) { s->uri_sans = {"spiffe://cluster.local/a"}; },
    [](CertificateSpec* s) {
      s->uri_sans = {"spiffe://cluster.local", "https://a.example"};
    },
    [](CertificateSpec* s) {
      s->raw_extensions = {{kUnknown, true, "x"}};
    },
    [](CertificateSpec* s) {
      // serverAuth.
      s->raw_extensions = {
          {kExtendedKeyUsage, false, Element('\x30', "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")}};
    },
    [](CertificateSpec* s) {
      // Permitted URIs of another host.
      const std::string subtree = Element('\x30', Element('\x86', "other.example"));
      s->raw_extensions = {{kNameConstraints, true, Element('\x30', Element('\xa0', subtree))}};
    },
};

// Public keys that are not taken: RSA of 1024 bits, P-224's base point, one of Ed25519.
std::vector<std::string> BadKeys() {
  const auto key = [](absl::string_view algorithm, absl::string_view bits) {
    return Element('\x30', Element('\x30', algorithm) +
                               Element('\x03', absl::StrCat(absl::string_view("\0", 1), bits)));
  };
  const std::string modulus =
      Element('\x02', absl::StrCat(absl::string_view("\0", 1), std::string(128, '\xc5')));
  return {
      key(absl::string_view("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 13),
          Element('\x30', modulus + Element('\x02', absl::string_view("\x01\x00\x01", 3)))),
      key(absl::string_view("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x21", 16),
          absl::HexStringToBytes("04b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21"
                                 "bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34")),
      key("\x06\x03\x2b\x65\x70", std::string(32, '\x01'))};
}

std::string ToBeSigned(const Certificate& certificate) {
  absl::string_view der = certificate.der();
  absl::string_view content = TakeElement(&der, /*content_alone=*/true);
  return std::string(TakeElement(&content));
}

// What nobody builds: a leaf with the first `old_part` exchanged for something of the same length.
std::string Exchange(const CertificateSpec& spec, absl::string_view old_part,
                     absl::string_view new_part) {
  std::string der = ToBeSigned(*TheAuthority().Leaf(spec));
  const size_t at = der.find(old_part.data(), 0, old_part.size());
  Expect(at != std::string::npos && old_part.size() == new_part.size());
  return der.replace(at, new_part.size(), new_part.data(), new_part.size());
}

// A leaf with the extension 2.5.29.`last` and a value that is none of it.
std::string WithExtension(char last, const std::string& value) {
  CertificateSpec spec = Authority::LeafSpec(kId);
  spec.common_name = "app";
  spec.uri_sans.clear();
  spec.raw_extensions = {{"2.5.29.99", false, value}};
  return Exchange(spec, "\x55\x1d\x63", std::string("\x55\x1d") + last);
}

std::vector<std::string> MalformedToBeSigned() {
  const std::string relative = Element('\xa0', Element('\xa1', ""));
  const CertificateSpec good = Authority::LeafSpec(kId);
  return {WithExtension(17, "x"), WithExtension(30, "x"), WithExtension(31, "x"),
          WithExtension(31, Element('\x30', Element('\x30', relative))),
          // A kind of key that nobody knows.
          Exchange(good, "\x2a\x86\x48\xce\x3d\x02\x01", "\x2a\x86\x48\xce\x3d\x02\x7f")};
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const Authority& authority = TheAuthority();
  const CertificateSpec good = Authority::LeafSpec(kId), listed = Authority::LeafSpec(kListedId);
  std::vector<std::string> seeds;
  const auto add = [&seeds](const CertificateChain& chain) {
    seeds.emplace_back(1, kChain);
    for (const CertificatePtr& certificate : chain) seeds.back() += certificate->der();
  };
  const auto to_be_signed = [&seeds](const std::string& der) {
    seeds.push_back(std::string(1, kToBeSigned) + der);
  };
  const CertificatePtr leaf = authority.Leaf(good);
  for (const CertificatePtr& certificate : {authority.root, leaf}) {
    add({certificate});
    to_be_signed(ToBeSigned(*certificate));
  }
  for (const Spoil spoil : kBadLeaves) {
    CertificateSpec spec = good;
    spoil(&spec);
    add({authority.Leaf(spec)});
  }
  for (const std::string& key : BadKeys()) {
    add({*BuildCertificate(good, key, authority.root.get(), *authority.key)});
  }
  for (const std::string& der : MalformedToBeSigned()) to_be_signed(der);
  const auto below = [&](const CertificateSpec& signer, const CertificatePtr& root,
                         const CertificateSpec& spec) {
    const CertificatePtr middle = authority.Make(signer, root.get());
    add({authority.Make(spec, middle.get()), middle});
  };
  const CertificateSpec middle = Authority::CaSpec("middle");
  below(middle, authority.root, good);
  below(middle, authority.short_root, good);
  below(middle, authority.root, listed);
  for (const Spoil spoil : kBadSigners) {
    CertificateSpec spec = middle;
    spoil(&spec);
    below(spec, authority.root, good);
  }
  add({authority.Leaf(listed)});
  add({authority.revoked});
  add(CertificateChain(5, leaf));
  const std::string large = Element('\x30', std::string(Certificate::kMaxDerSize, 'x'));
  CertificateSpec larger = good;
  larger.raw_extensions = {{kUnknown, false, std::string(Certificate::kMaxDerSize / 2, 'x')}};
  add(CertificateChain(2, authority.Leaf(larger)));
  for (const std::string& text :
       {std::string(), large, leaf->ToPem(),
        std::string("-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n")}) {
    seeds.push_back(std::string(1, kChain) + text);
  }
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
