// Revocation lists: read from files that an operator fetched from somewhere, and from the control
// plane.

#include <cstdlib>

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

const std::vector<std::string>& SignedLists() {
  static const auto* const lists = [] {
    TestCrlSpec spec;
    spec.this_update = kNow - absl::Hours(1);
    spec.next_update = kNow + absl::Hours(1);
    auto* made = new std::vector<std::string>;
    made->push_back(MakeCrlDer(spec, *TheAuthority().root(), TheAuthority().key()));
    spec.revoked = {TheSvid().chain[0], TheAuthority().IssueSvid("/b").chain[0]};
    spec.extensions = {"2.5.29.20", "2.5.29.35"};
    made->push_back(MakeCrlDer(spec, *TheAuthority().root(), TheAuthority().key()));
    spec.critical_entry_extensions = {"2.5.29.29"};
    spec.critical_extensions = {"2.5.29.28"};
    made->push_back(MakeCrlDer(spec, *TheAuthority().root(), TheAuthority().key()));
    return made;
  }();
  return *lists;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = SignedLists();
  seeds.push_back((*RevocationList::FromDer(seeds[1]))->ToPem());
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
