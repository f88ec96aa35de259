#include "common/tls/testing/hostile_chains.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

std::string Wrap(char tag, const std::string& content) {
  std::string header(1, tag);
  if (content.size() < 0x80) {
    header.push_back(static_cast<char>(content.size()));
  } else {
    CHECK(content.size() <= 0xffff);
    header.push_back('\x82');
    header.push_back(static_cast<char>(content.size() >> 8));
    header.push_back(static_cast<char>(content.size() & 0xff));
  }
  return header + content;
}

std::string Repeat(const std::string& part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += part;
  return all;
}

// SubjectPublicKeyInfo of an RSA key of `bits` bits that nobody has.
std::string RsaKey(size_t bits) {
  const std::string modulus = Wrap(0x02, std::string(1, '\0') + std::string(bits / 8, '\xc5'));
  const std::string exponent("\x02\x03\x01\x00\x01", 5);
  const std::string algorithm("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);
  return Wrap(0x30, algorithm + Wrap(0x03, std::string(1, '\0') + Wrap(0x30, modulus + exponent)));
}

// The certificate with one element of its body exchanged, which makes its signature wrong.
std::string Exchange(const std::string& der, const std::string& old_part,
                     const std::string& new_part) {
  // Outer SEQUENCE and TBSCertificate, both with two bytes of length.
  CHECK(der[1] == '\x82' && der[5] == '\x82');
  const size_t tbs_size =
      static_cast<unsigned char>(der[6]) * 256u + static_cast<unsigned char>(der[7]);
  std::string tbs = der.substr(8, tbs_size);
  const size_t at = tbs.find(old_part);
  CHECK(at != std::string::npos);
  tbs.replace(at, old_part.size(), new_part);
  return Wrap(0x30, Wrap(0x30, tbs) + der.substr(8 + tbs_size));
}

std::string CommonName(const std::string& text) {
  return Wrap(0x30, std::string("\x06\x03\x55\x04\x03", 5) + Wrap(0x0c, text));
}

// Distribution points that are named relative to the issuer, whose name is long: the library would
// copy it for each of them (CVE-2026-35189).
std::string RelativeDistributionPoints(const TestCa& ca) {
  const std::string point = Wrap(0x30, Wrap('\xa0', Wrap('\xa1', CommonName("x"))));
  CertificateSpec spec = ca.SvidSpec("/a");
  // Under another number, so that it is a certificate for us.
  spec.raw_extensions = {{"2.5.29.99", false, Wrap(0x30, Repeat(point, 500))}};
  std::string der = ca.Issue(spec).chain[0]->der();
  der.replace(der.find("\x55\x1d\x63"), 3, "\x55\x1d\x1f");
  const std::string name =
      Wrap(0x30, Wrap(0x31, CommonName(ca.certificate()->Subject().substr(sizeof("CN=") - 1))));
  return Exchange(der, name, Wrap(0x30, Repeat(Wrap(0x31, CommonName("y")), 400)));
}

}  // namespace

std::vector<HostileChain> HostileChains(const TestCa& ca) {
  std::vector<HostileChain> chains;
  const auto add = [&](std::string name, const CertificateChain& chain) {
    HostileChain hostile{std::move(name), {}};
    for (const CertificatePtr& certificate : chain) {
      hostile.certificates.push_back(certificate->der());
    }
    chains.push_back(std::move(hostile));
  };
  const auto leaf_with = [&](const std::string& oid, const std::string& value) {
    CertificateSpec spec = ca.SvidSpec("/a");
    spec.raw_extensions = {{oid, false, value}};
    return ca.Issue(spec).chain;
  };
  const CertificateChain good = ca.IssueSvid("/a").chain;

  // Beyond the limits.
  chains.push_back(
      {"certificate of 100 KB", {Wrap(0x30, std::string(60000, '\0')) + std::string(40000, '\0')}});
  add("chain of 50", CertificateChain(50, good[0]));
  chains.push_back(
      {"5000 distribution points", {std::string(Certificate::kMaxDerSize + 1, '\x30')}});

  // Within them, as dear as they get: seven thousand distribution points of two bytes each, the
  // whole certificate just within 16 KiB.
  add("7500 empty distribution points",
      leaf_with("2.5.29.31", Wrap(0x30, Repeat({"\x30\x00", 2}, 7500))));
  add("7500 certificate policies",
      leaf_with("2.5.29.32", Wrap(0x30, Repeat({"\x30\x00", 2}, 7500))));
  CertificateSpec uris = ca.SvidSpec("/a");
  uris.uri_sans.resize(5000, "x");
  add("5000 URIs", ca.Issue(uris).chain);
  CertificateSpec names = ca.SvidSpec("/a");
  names.dns_sans.resize(5000, "x");
  add("5000 DNS names", ca.Issue(names).chain);
  CertificateSpec constrained = ca.IntermediateSpec();
  // Excluded URIs: SEQUENCE { [1] { SEQUENCE { [6] "x.y" } ... } }.
  constrained.raw_extensions = {
      {"2.5.29.30", true, Wrap(0x30, Wrap('\xa1', Repeat(Wrap(0x30, Wrap('\x86', "x.y")), 1000)))}};
  CertificateSpec many = ca.SvidSpec("/a");
  many.dns_sans.resize(1500, "x.y");
  add("1000 constraints times 1500 names", ca.MakeIntermediate(constrained).Issue(many).chain);
  std::string nested;
  for (int i = 0; i < 3000; ++i) nested = Wrap(0x30, nested);
  add("a value nested 3000 deep", leaf_with("2.5.29.32", nested));

  chains.push_back({"500 points relative to a long name", {RelativeDistributionPoints(ca)}});
  const TestIdentity identity = ca.IssueSvid("/a");
  const std::string key = identity.key->PublicKeyDer();
  chains.push_back({"RSA 16384", {Exchange(identity.chain[0]->der(), key, RsaKey(16384))}});
  const std::string big = Exchange(identity.chain[0]->der(), key, RsaKey(4096));
  chains.push_back({"four keys of RSA 4096", {big, big, big, big}});
  return chains;
}

}  // namespace byrnie
