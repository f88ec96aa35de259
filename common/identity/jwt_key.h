#ifndef BYRNIE_COMMON_IDENTITY_JWT_KEY_H_
#define BYRNIE_COMMON_IDENTITY_JWT_KEY_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/crypto/public_key.h"

namespace byrnie {

// A key that JWT-SVIDs of a trust domain are verified with.
struct JwtKey {
  // The header "kid" of its tokens: 1 to kMaxIdLength bytes, unique in its bundle.
  std::string id;
  std::shared_ptr<const PublicKey> key;
  // No token of it is valid then.
  absl::Time not_after;

  static constexpr size_t kMaxIdLength = 128;
  friend bool operator==(const JwtKey& a, const JwtKey& b) {
    return a.id == b.id && a.key->der() == b.key->der() && a.not_after == b.not_after;
  }
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_JWT_KEY_H_
