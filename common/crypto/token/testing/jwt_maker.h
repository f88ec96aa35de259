#ifndef BYRNIE_COMMON_CRYPTO_TOKEN_TESTING_JWT_MAKER_H_
#define BYRNIE_COMMON_CRYPTO_TOKEN_TESTING_JWT_MAKER_H_

#include <initializer_list>
#include <string>

#include "absl/strings/string_view.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/rsa_signer.h"

namespace byrnie {

// Tokens and key sets of an issuer that a test plays. They say whatever the test wants, right or
// wrong.

// JWS compact serialization of two JSON texts.
std::string MakeJwt(const PrivateKey& key, absl::string_view header, absl::string_view claims);
std::string MakeJwt(const RsaSigner& key, absl::string_view header, absl::string_view claims);
// With any bytes as the signature.
std::string MakeJwt(absl::string_view signature, absl::string_view header,
                    absl::string_view claims);

// One entry of a set, with `more` members in front, such as R"("kid":"k1",)".
std::string JwkOf(const PrivateKey& key, absl::string_view more);
std::string JwkOf(const RsaSigner& key, absl::string_view more);
std::string JwkSetOf(std::initializer_list<std::string> keys);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TOKEN_TESTING_JWT_MAKER_H_
