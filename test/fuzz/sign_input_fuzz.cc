// KeyCustodian::Sign: what a compromised proxy may ask for. Nothing but a CertificateVerify input
// is ever signed.

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "certagent/key_custodian.h"
#include "common/crypto/certificate_builder.h"
#include "common/event/testing/manual_event_loop.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr char kClient[] = "TLS 1.3, client CertificateVerify";
constexpr char kServer[] = "TLS 1.3, server CertificateVerify";

std::string Input(absl::string_view context, size_t hash) {
  return std::string(64, ' ') + std::string(context) + '\0' + std::string(hash, 'h');
}

// A custodian with one certificate, and a budget no fuzzer uses up.
struct Fixture {
  ManualEventLoop loop;
  MetricRegistry metrics;
  KeyCustodian custodian{&loop, &metrics, {1e12, 1e12}};
  CertificatePtr leaf;

  Fixture() {
    const auto key = *PrivateKey::Generate();
    CertificateSpec spec;
    spec.common_name = "app";
    spec.uri_sans = {"spiffe://cluster.local/ns/default/sa/app"};
    spec.not_before = loop.WallNow() - absl::Hours(1);
    spec.not_after = loop.WallNow() + absl::Hours(1);
    leaf = *BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key);
    custodian.Install(*leaf, key);
  }
};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {Input(kClient, 32),
          Input(kServer, 32),
          Input(kServer, 48),
          Input(kClient, 31),
          Input("TLS 1.3, client  CertificateVerify", 32),
          std::string(64, ' ')};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const fixture = new byrnie::Fixture;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto signature = fixture->custodian.Sign(fixture->leaf->FingerprintHex(), 0x0403, input);
  if (!signature.ok()) return 0;
  const absl::string_view context = input.substr(64, sizeof(byrnie::kClient));
  const bool well_formed =
      input.substr(0, 64) == std::string(64, ' ') &&
      (context == absl::string_view(byrnie::kClient, sizeof(byrnie::kClient)) ||
       context == absl::string_view(byrnie::kServer, sizeof(byrnie::kServer)));
  if (!well_formed || size > 64 + sizeof(byrnie::kClient) + 64) std::abort();
  return 0;
}
