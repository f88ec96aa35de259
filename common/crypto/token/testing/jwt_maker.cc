#include "common/crypto/token/testing/jwt_maker.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/public_key.h"

namespace byrnie {
namespace {

std::string SignedPart(absl::string_view header, absl::string_view claims) {
  return absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims));
}

}  // namespace

std::string MakeJwt(const PrivateKey& key, absl::string_view header, absl::string_view claims) {
  const std::string text = SignedPart(header, claims);
  absl::StatusOr<std::string> der = key.SignEcdsaSha256(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  CHECK(der.ok());
  return absl::StrCat(text, ".", absl::WebSafeBase64Escape(*RawEcdsaSignature(*der)));
}

std::string MakeJwt(const RsaSigner& key, absl::string_view header, absl::string_view claims) {
  const std::string text = SignedPart(header, claims);
  return absl::StrCat(text, ".", absl::WebSafeBase64Escape(key.SignPkcs1Sha256(text)));
}

std::string MakeJwt(absl::string_view signature, absl::string_view header,
                    absl::string_view claims) {
  return absl::StrCat(SignedPart(header, claims), ".", absl::WebSafeBase64Escape(signature));
}

std::string JwkOf(const PrivateKey& key, absl::string_view more) {
  absl::StatusOr<std::shared_ptr<const PublicKey>> of = PublicKey::FromDer(key.PublicKeyDer());
  CHECK(of.ok());
  return absl::StrCat("{", more, R"("kty":"EC","crv":"P-256","x":")",
                      absl::WebSafeBase64Escape((*of)->x()), R"(","y":")",
                      absl::WebSafeBase64Escape((*of)->y()), "\"}");
}

std::string JwkOf(const RsaSigner& key, absl::string_view more) {
  return absl::StrCat("{", more, R"("kty":"RSA","n":")", absl::WebSafeBase64Escape(key.modulus()),
                      R"(","e":")", absl::WebSafeBase64Escape(key.exponent()), "\"}");
}

std::string JwkSetOf(std::initializer_list<std::string> keys) {
  return absl::StrCat("{\"keys\":[", absl::StrJoin(keys, ","), "]}");
}

}  // namespace byrnie
