#include "common/crypto/key_type.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "openssl/evp.h"
#include "openssl/nid.h"

namespace byrnie {

absl::StatusOr<KeyTypes> ParseKeyTypes(absl::string_view text) {
  KeyTypes types;
  for (const absl::string_view name : absl::StrSplit(text, ',')) {
    if (name == "p256") {
      types.insert(KeyType::kP256);
    } else if (name == "p384") {
      types.insert(KeyType::kP384);
    } else if (name == "rsa") {
      types.insert(KeyType::kRsa);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name.substr(0, 32), "\" is none of p256, p384 and rsa"));
    }
  }
  return types;
}

std::string KeyTypesText(const KeyTypes& types) {
  std::vector<std::string> names;
  for (const KeyType type : types) {
    switch (type) {
      case KeyType::kP256:
        names.emplace_back("P-256");
        break;
      case KeyType::kP384:
        names.emplace_back("P-384");
        break;
      case KeyType::kRsa:
        names.push_back(absl::StrCat("RSA of ", kMinRsaBits, " to ", kMaxRsaBits, " bits"));
        break;
    }
  }
  return absl::StrJoin(names, " or ");
}

bool IsOfTypes(const EVP_PKEY& key, const KeyTypes& types) {
  if (EVP_PKEY_id(&key) == EVP_PKEY_EC) {
    const int curve = EVP_PKEY_get_ec_curve_nid(&key);
    return (curve == NID_X9_62_prime256v1 && types.count(KeyType::kP256) > 0) ||
           (curve == NID_secp384r1 && types.count(KeyType::kP384) > 0);
  }
  const int bits = EVP_PKEY_bits(&key);
  return EVP_PKEY_id(&key) == EVP_PKEY_RSA && types.count(KeyType::kRsa) > 0 &&
         bits >= kMinRsaBits && bits <= kMaxRsaBits;
}

}  // namespace byrnie
