#include "common/crypto/ecdsa_signature.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "openssl/bn.h"
#include "openssl/ecdsa.h"
#include "openssl/mem.h"

namespace byrnie {
namespace {

constexpr size_t kHalf = kRawEcdsaSignatureSize / 2;

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

absl::StatusOr<std::string> RawEcdsaSignature(absl::string_view der) {
  bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_SIG_from_bytes(Bytes(der), der.size()));
  std::string raw(kRawEcdsaSignatureSize, '\0');
  uint8_t* const out = reinterpret_cast<uint8_t*>(&raw[0]);
  if (!signature || !BN_bn2bin_padded(out, kHalf, ECDSA_SIG_get0_r(signature.get())) ||
      !BN_bn2bin_padded(out + kHalf, kHalf, ECDSA_SIG_get0_s(signature.get()))) {
    return SslError(absl::StatusCode::kInvalidArgument, "not a P-256 signature");
  }
  return raw;
}

absl::StatusOr<std::string> DerEcdsaSignature(absl::string_view raw) {
  if (raw.size() != kRawEcdsaSignatureSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a signature of ", raw.size(), " bytes instead of 64"));
  }
  bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_SIG_new());
  bssl::UniquePtr<BIGNUM> r(BN_bin2bn(Bytes(raw), kHalf, nullptr));
  bssl::UniquePtr<BIGNUM> s(BN_bin2bn(Bytes(raw) + kHalf, kHalf, nullptr));
  uint8_t* der = nullptr;
  size_t size = 0;
  if (!signature || !r || !s || !ECDSA_SIG_set0(signature.get(), r.release(), s.release()) ||
      !ECDSA_SIG_to_bytes(&der, &size, signature.get())) {
    return SslError(absl::StatusCode::kInvalidArgument, "not a P-256 signature");
  }
  bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), size);
}

}  // namespace byrnie
