// VerifyCsr: the control plane parses requests from callers who may hold nothing but a token.

#include <cstdlib>

#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

const std::shared_ptr<const PrivateKey>& TheKey() {
  static const auto* const key = new std::shared_ptr<const PrivateKey>(*PrivateKey::Generate());
  return *key;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {*CreateCsr(*TheKey(), ""),
          *CreateCsr(*TheKey(), "spiffe://cluster.local/ns/default/sa/app")};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto public_key =
      byrnie::VerifyCsr(absl::string_view(reinterpret_cast<const char*>(data), size));
  // A request that verifies proves possession of the only key there is.
  if (public_key.ok() && *public_key != byrnie::TheKey()->PublicKeyDer()) std::abort();
  return 0;
}
