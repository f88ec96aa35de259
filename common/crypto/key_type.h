#ifndef BYRNIE_COMMON_CRYPTO_KEY_TYPE_H_
#define BYRNIE_COMMON_CRYPTO_KEY_TYPE_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "openssl/base.h"

namespace byrnie {

// Kinds of public keys that certificates of the mesh may have; RSA with 2048 to 4096 bits.
enum class KeyType { kP256, kP384, kRsa };

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 4096;

using KeyTypes = std::set<KeyType>;

// "p256,rsa": InvalidArgument for a name that is none of p256, p384 and rsa, and for none at all.
absl::StatusOr<KeyTypes> ParseKeyTypes(absl::string_view text);

// As people write them: "P-256 or RSA of 2048 to 4096 bits".
std::string KeyTypesText(const KeyTypes& types);

// Whether a key is of one of these. Looks at no more than its kind and its size.
bool IsOfTypes(const EVP_PKEY& key, const KeyTypes& types);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_KEY_TYPE_H_
