// KeyCustodian::Sign: what a compromised proxy may ask for. Nothing but a CertificateVerify input
// is ever signed, and with the key of a leaf that is in force or was a moment ago.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "certagent/key_custodian.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr char kClient[] = "TLS 1.3, client CertificateVerify";
constexpr char kServer[] = "TLS 1.3, server CertificateVerify";

std::string Input(absl::string_view context, size_t hash) {
  return std::string(64, ' ') + std::string(context) + '\0' + std::string(hash, 'h');
}

// The first byte of an input: a leaf, and what else is asked for. The rest is the input to be
// signed.
enum Leaf : uint8_t { kCurrent, kReplaced, kEnded, kNotBegun, kForgotten, kUnknown, kLeaves };
enum Flag : uint8_t {
  kLeafBits = 0x07,
  kWithoutBudget = 0x40,
  kOtherScheme = 0x80  // rsa_pss_rsae_sha256.
};

// Two custodians of the same certificates: one with a budget no fuzzer uses up, one with none.
struct Fixture {
  ManualEventLoop loop;
  MetricRegistry metrics, other_metrics;
  KeyCustodian custodian{&loop, &metrics, {1e12, 1e12}};
  KeyCustodian without_budget{&loop, &other_metrics, {0, 0}};
  std::string fingerprints[kLeaves];

  Fixture() {
    Install(kForgotten, -absl::Hours(1), absl::Hours(1));
    Install(kNotBegun, absl::Hours(1), absl::Hours(2));
    // Longer than a handshake may last.
    loop.AdvanceTime(KeyCustodian::kHandshake + absl::Seconds(1));
    Install(kEnded, -absl::Hours(2), -absl::Hours(1));
    Install(kReplaced, -absl::Hours(1), absl::Hours(1));
    Install(kCurrent, -absl::Hours(1), absl::Hours(1));
    fingerprints[kUnknown] = "none";
  }

  void Install(Leaf which, absl::Duration begin, absl::Duration end) {
    const auto key = *PrivateKey::Generate();
    CertificateSpec spec;
    spec.common_name = "app";
    spec.uri_sans = {"spiffe://cluster.local/ns/default/sa/app"};
    spec.not_before = loop.WallNow() + begin;
    spec.not_after = loop.WallNow() + end;
    const CertificatePtr leaf = *BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key);
    fingerprints[which] = leaf->FingerprintHex();
    custodian.Install(*leaf, key);
    without_budget.Install(*leaf, key);
  }
};

bool IsWellFormed(absl::string_view input) {
  const absl::string_view context =
      input.substr(std::min<size_t>(64, input.size()), sizeof(kClient));
  return input.substr(0, 64) == std::string(64, ' ') &&
         (context == absl::string_view(kClient, sizeof(kClient)) ||
          context == absl::string_view(kServer, sizeof(kServer)));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const std::string& input :
       {Input(kClient, 32), Input(kServer, 32), Input(kServer, 48), Input(kClient, 31),
        Input("TLS 1.3, client  CertificateVerify", 32), std::string(64, ' '),
        std::string(63, ' ') + "x" + Input(kClient, 32)}) {
    seeds.push_back(std::string(1, kCurrent) + input);
  }
  for (const int first : {int{kReplaced}, int{kEnded}, int{kNotBegun}, int{kForgotten},
                          int{kUnknown}, kCurrent | kWithoutBudget, kCurrent | kOtherScheme}) {
    seeds.push_back(std::string(1, static_cast<char>(first)) + Input(kClient, 64));
  }
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const fixture = new byrnie::Fixture;
  if (size == 0) return 0;
  const uint8_t leaf = (data[0] & byrnie::kLeafBits) % byrnie::kLeaves;
  const bool has_budget = (data[0] & byrnie::kWithoutBudget) == 0;
  const bool known_scheme = (data[0] & byrnie::kOtherScheme) == 0;
  const absl::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  byrnie::KeyCustodian& custodian = has_budget ? fixture->custodian : fixture->without_budget;
  const auto signature =
      custodian.Sign(fixture->fingerprints[leaf], known_scheme ? 0x0403 : 0x0804, input);
  if (!signature.ok()) return 0;
  if (!has_budget || !known_scheme || leaf > byrnie::kReplaced) std::abort();
  if (!byrnie::IsWellFormed(input) || input.size() > 64 + sizeof(byrnie::kClient) + 64) {
    std::abort();
  }
  return 0;
}
