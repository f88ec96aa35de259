// What a hostile chain costs, counted: the memory BoringSSL takes while it is judged.
#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "common/crypto/certificate.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/testing/hostile_chains.h"
#include "common/tls/testing/test_ca.h"
#include "gtest/gtest.h"

namespace {

size_t in_use = 0, peak = 0, allocations = 0;

}  // namespace

// BoringSSL takes these, where they are there, for its own.
extern "C" {
void* OPENSSL_memory_alloc(size_t size) {
  // Never nothing: BoringSSL copies as much as malloc_usable_size says, and ThreadSanitizer says 1.
  void* const memory = std::malloc(std::max<size_t>(size, 1));
  in_use += malloc_usable_size(memory);
  peak = std::max(peak, in_use);
  ++allocations;
  return memory;
}
void OPENSSL_memory_free(void* memory) {
  in_use -= malloc_usable_size(memory);
  std::free(memory);
}
size_t OPENSSL_memory_get_size(void* memory) { return malloc_usable_size(memory); }
}

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);
constexpr size_t kMaxMemory = 2 * 1024 * 1024;

// As the proxy does with what a TLS peer has sent.
bool Accepted(const HostileChain& hostile, const TrustBundleSet& bundles) {
  if (hostile.certificates.size() > kMaxSvidChain) return false;
  CertificateChain chain;
  for (const std::string& der : hostile.certificates) {
    absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(der);
    if (!certificate.ok()) return false;
    chain.push_back(*std::move(certificate));
  }
  return VerifySvid(chain, bundles, kNow).ok();
}

TEST(SvidCostTest, AHostileChainTakesLittleMemory) {
  const TestCa ca("td", kNow);
  const TrustBundleSet bundles = ca.Bundles();
  ASSERT_TRUE(Accepted({"good", {ca.IssueSvid("/a").chain[0]->der()}}, bundles));
  ASSERT_GT(allocations, 0u) << "nothing is counted";
  for (const HostileChain& hostile : HostileChains(ca)) {
    peak = in_use;
    allocations = 0;
    const size_t before = in_use;
    const bool accepted = Accepted(hostile, bundles);
    EXPECT_LT(peak - before, kMaxMemory) << hostile.name;
    // The queue of errors keeps a little.
    EXPECT_LT(in_use, before + 4096) << hostile.name << " leaks";
    // Many names are no crime; what they cost is bounded all the same.
    if (hostile.name != "5000 DNS names" && hostile.name != "7500 empty distribution points") {
      EXPECT_FALSE(accepted) << hostile.name;
    }
    std::printf("%s: %zu bytes, %zu allocations\n", hostile.name.c_str(), peak - before,
                allocations);
  }
}

}  // namespace
}  // namespace byrnie
