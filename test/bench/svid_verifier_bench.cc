// What it costs to judge a peer's certificates, good ones and hostile ones.

#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/crypto/certificate.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/testing/hostile_chains.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

// From the bytes on, as the proxy does.
bool Judge(const std::vector<std::string>& certificates, const TrustBundleSet& bundles) {
  if (certificates.size() > kMaxSvidChain) return false;
  CertificateChain chain;
  for (const std::string& der : certificates) {
    absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(der);
    if (!certificate.ok()) return false;
    chain.push_back(*std::move(certificate));
  }
  return VerifySvid(chain, bundles, kNow).ok();
}

void Run(benchmark::State& state, const std::vector<std::string>& certificates,
         const TrustBundleSet& bundles) {
  bool good = false;
  for (auto _ : state) benchmark::DoNotOptimize(good = Judge(certificates, bundles));
  state.SetLabel(good ? "good" : "refused");
}

std::vector<std::string> Ders(const CertificateChain& chain) {
  std::vector<std::string> ders;
  for (const CertificatePtr& certificate : chain) ders.push_back(certificate->der());
  return ders;
}

void RegisterAll() {
  static const TestCa* const ca = new TestCa("td", kNow);
  static const TestCa* const below = new TestCa(ca->MakeIntermediate(ca->IntermediateSpec()));
  static const auto* const with_lists = new TrustBundleSet(*TrustBundleSet::Create(
      {{"td",
        {{ca->root()},
         {MakeCrl(*ca->root(), ca->key(), kNow),
          MakeCrl(*below->certificate(), below->key(), kNow, {ca->IssueSvid("/x").chain[0]})}}}}));
  static const auto* const plain = new TrustBundleSet(ca->Bundles());
  const auto add = [](const std::string& name, std::vector<std::string> certificates,
                      const TrustBundleSet* bundles) {
    benchmark::RegisterBenchmark(name.c_str(), [certificates = std::move(certificates),
                                                bundles](benchmark::State& state) {
      Run(state, certificates, *bundles);
    })->Unit(benchmark::kMicrosecond);
  };
  add("leaf", Ders(ca->IssueSvid("/a").chain), plain);
  add("leaf and intermediate", Ders(below->IssueSvid("/a").chain), plain);
  add("leaf and intermediate, revocation lists", Ders(below->IssueSvid("/a").chain), with_lists);
  for (const HostileChain& hostile : HostileChains(*ca)) {
    add("hostile: " + hostile.name, hostile.certificates, plain);
  }
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  byrnie::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
