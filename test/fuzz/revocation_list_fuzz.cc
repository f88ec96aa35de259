// Revocation lists: read from files that an operator fetched from somewhere, and from the control
// plane.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/revocation_list.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

const TestCa& TheAuthority() {
  static const TestCa* const authority = new TestCa("cluster.local", kNow);
  return *authority;
}

const TestIdentity& TheSvid() {
  static const TestIdentity* const svid = new TestIdentity(TheAuthority().IssueSvid("/a"));
  return *svid;
}

std::string Sign(const TestCrlSpec& spec) {
  return MakeCrlDer(spec, *TheAuthority().root(), TheAuthority().key());
}

TestCrlSpec GoodSpec() {
  TestCrlSpec spec;
  spec.this_update = kNow - absl::Hours(1);
  spec.next_update = kNow + absl::Hours(1);
  return spec;
}

TestCrlSpec FullSpec() {
  TestCrlSpec spec = GoodSpec();
  spec.revoked = {TheSvid().chain[0], TheAuthority().IssueSvid("/b").chain[0]};
  spec.extensions = {"2.5.29.20", "2.5.29.35"};
  return spec;
}

// A list that is not as FullSpec has it.
using Spoil = void (*)(TestCrlSpec*);
const Spoil kSpoils[] = {
    [](TestCrlSpec*) {},
    [](TestCrlSpec* s) { *s = GoodSpec(); },
    // In four digits, as years from 2050 on are written.
    [](TestCrlSpec* s) { s->next_update = kNow + absl::Hours(40 * 365 * 24); },
    [](TestCrlSpec* s) { s->next_update = absl::nullopt; },
    [](TestCrlSpec* s) { s->next_update = s->this_update; },
    [](TestCrlSpec* s) { s->version_1 = true; },
    [](TestCrlSpec* s) { s->sha1 = true; },
    [](TestCrlSpec* s) { s->extensions = {"2.5.29.27"}; },
    [](TestCrlSpec* s) { s->critical_extensions = {"2.5.29.28"}; },
    [](TestCrlSpec* s) { s->critical_extensions = {"1.2.3"}; },
    [](TestCrlSpec* s) { s->critical_entry_extensions = {"2.5.29.29"}; },
};

const std::vector<std::string>& SignedLists() {
  static const auto* const lists = [] {
    auto* made = new std::vector<std::string>;
    for (const Spoil spoil : kSpoils) {
      TestCrlSpec spec = FullSpec();
      spoil(&spec);
      made->push_back(Sign(spec));
    }
    return made;
  }();
  return *lists;
}

// One that bears the name of our issuer.
RevocationListPtr ListOfAnImpostor() {
  static const TestCa* const impostor = new TestCa("cluster.local", kNow);
  return MakeCrl(*impostor->root(), impostor->key(), kNow);
}

// The places of all elements of `der`, which is well-formed, within `offset` bytes of something.
void FindElements(absl::string_view der, size_t offset, std::vector<size_t>* places) {
  while (der.size() >= 2) {
    size_t head = 2, size = static_cast<uint8_t>(der[1]);
    if (size >= 0x80) {
      head += size & 0x7f;
      size = 0;
      for (size_t i = 2; i < head && i < der.size(); ++i) {
        size = size << 8 | static_cast<uint8_t>(der[i]);
      }
    }
    places->push_back(offset);
    constexpr char kConstructed = 0x20;
    if ((der[0] & kConstructed) != 0) FindElements(der.substr(head, size), offset + head, places);
    offset += head + size;
    der.remove_prefix(std::min(head + size, der.size()));
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = SignedLists();
  const std::string full = seeds.front();
  seeds.push_back((*RevocationList::FromDer(full))->ToPem());
  seeds.push_back("-----BEGIN X509 CRL-----\neA==\n-----END X509 CRL-----\n");
  seeds.push_back(ListOfAnImpostor()->der());
  seeds.push_back(full + "x");
  // Each element in turn of a kind that is nowhere in a list: an enumeration.
  std::vector<size_t> places;
  FindElements(full, 0, &places);
  for (const size_t place : places) {
    seeds.push_back(full);
    seeds.back()[place] = '\x0a';
  }
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::RevocationList;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)RevocationList::ListFromFile(bytes);
  const auto list = RevocationList::FromDer(bytes);
  if (!list.ok()) return 0;
  if ((*list)->der() != bytes || (*list)->next_update() <= (*list)->this_update()) std::abort();
  (*list)->Lists(*byrnie::TheSvid().chain[0]);
  // Nobody forges a signature by mutation.
  bool ours = false;
  for (const std::string& seed : byrnie::SignedLists()) ours = ours || seed == bytes;
  if ((*list)->IsIssuedBy(*byrnie::TheAuthority().root()) && !ours) std::abort();
  return 0;
}
