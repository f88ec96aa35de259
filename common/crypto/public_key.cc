#include "common/crypto/public_key.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/digest.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/err.h"
#include "openssl/evp.h"
#include "openssl/nid.h"

namespace byrnie {
namespace {

constexpr size_t kMaxDerSize = 256;
constexpr size_t kCoordinateSize = 32;

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

bool Write(const BIGNUM* number, std::string* out) {
  out->resize(kCoordinateSize);
  return BN_bn2bin_padded(reinterpret_cast<uint8_t*>(&(*out)[0]), kCoordinateSize, number) == 1;
}

}  // namespace

PublicKey::~PublicKey() = default;

absl::StatusOr<std::shared_ptr<const PublicKey>> PublicKey::FromDer(absl::string_view der) {
  if (der.size() > kMaxDerSize) {
    return absl::InvalidArgumentError("a public key of more than 256 bytes");
  }
  CBS cbs;
  CBS_init(&cbs, Bytes(der), der.size());
  bssl::UniquePtr<EVP_PKEY> key(EVP_parse_public_key(&cbs));
  if (!key || CBS_len(&cbs) != 0) {
    return SslError(absl::StatusCode::kInvalidArgument, "not exactly one public key");
  }
  if (EVP_PKEY_id(key.get()) != EVP_PKEY_EC ||
      EVP_PKEY_get_ec_curve_nid(key.get()) != NID_X9_62_prime256v1) {
    return absl::InvalidArgumentError("the public key is not a P-256 key");
  }
  auto result = std::shared_ptr<PublicKey>(new PublicKey());
  result->der_ = std::string(der);
  const EC_KEY* const ec = EVP_PKEY_get0_EC_KEY(key.get());
  bssl::UniquePtr<BIGNUM> x(BN_new()), y(BN_new());
  if (!x || !y ||
      !EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec),
                                           x.get(), y.get(), nullptr) ||
      !Write(x.get(), &result->x_) || !Write(y.get(), &result->y_)) {
    return SslError(absl::StatusCode::kInvalidArgument, "not a point of P-256");
  }
  result->key_ = std::move(key);
  return std::shared_ptr<const PublicKey>(std::move(result));
}

absl::StatusOr<std::shared_ptr<const PublicKey>> PublicKey::FromCoordinates(absl::string_view x,
                                                                            absl::string_view y) {
  if (x.size() != kCoordinateSize || y.size() != kCoordinateSize) {
    return absl::InvalidArgumentError(absl::StrCat("coordinates of ", x.size(), " and ", y.size(),
                                                   " bytes instead of ", kCoordinateSize));
  }
  // The uncompressed point (SEC 1 section 2.3.3) in a SubjectPublicKeyInfo, so that there is one
  // way to a key.
  const std::string point = absl::StrCat("\x04", x, y);
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  bssl::ScopedCBB cbb;
  if (!ec || !key || !EC_KEY_oct2key(ec.get(), Bytes(point), point.size(), nullptr) ||
      !EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) || !CBB_init(cbb.get(), kMaxDerSize) ||
      !EVP_marshal_public_key(cbb.get(), key.get())) {
    return SslError(absl::StatusCode::kInvalidArgument, "not a point of P-256");
  }
  return FromDer(
      absl::string_view(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get())));
}

bool PublicKey::VerifyEcdsaSha256(absl::string_view message, absl::string_view signature) const {
  bssl::ScopedEVP_MD_CTX context;
  const bool verified =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) &&
      EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message),
                       message.size());
  // A signature that is wrong is no news to anybody else.
  if (!verified) ERR_clear_error();
  return verified;
}

}  // namespace byrnie
