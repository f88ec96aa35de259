#ifndef BYRNIE_COMMON_CRYPTO_TOKEN_JWK_SET_H_
#define BYRNIE_COMMON_CRYPTO_TOKEN_JWK_SET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/variant.h"
#include "common/base/json.h"
#include "common/crypto/public_key.h"
#include "common/crypto/rsa_public_key.h"

namespace byrnie {

// A key that JWTs are verified with. What it is fixes the algorithm: ES256 of a P-256 key, RS256 of
// an RSA key, and nothing else. A value; what it shares is immutable.
class Jwk {
 public:
  using Key = absl::variant<std::shared_ptr<const PublicKey>, std::shared_ptr<const RsaPublicKey>>;
  Jwk(std::string id, Key key) : id_(std::move(id)), key_(std::move(key)) {}

  // Empty when its set does not say.
  const std::string& id() const { return id_; }
  // "ES256" or "RS256", the only header "alg" it goes with.
  absl::string_view algorithm() const;
  // Whether `signature` is that of `message` as JWS makes it (RFC 7518 sections 3.3, 3.4).
  bool Verify(absl::string_view message, absl::string_view signature) const;

 private:
  std::string id_;
  Key key_;
};

// The keys of a token issuer (RFC 7517 section 5). Immutable, thread-safe.
class JwkSet {
 public:
  static constexpr size_t kMaxSize = 256 * 1024;
  static constexpr size_t kMaxKeys = 64;
  static constexpr size_t kMaxIdLength = 128;

  // Takes the keys that it can use and leaves out, as the RFC asks, those for other uses, of other
  // types, curves, sizes and algorithms. InvalidArgument says what is wrong with a text that is no
  // set, has no key that can be used, has two of one id, or holds a private key, which whoever made
  // the file did not mean to give away.
  static absl::StatusOr<JwkSet> Parse(absl::string_view text);

  // The key of a token: that of its header "kid", or the only one where the token has none. Null
  // when there is none such. Borrowed.
  const Jwk* Find(absl::string_view id) const;
  size_t size() const { return keys_.size(); }
  // How many were left out.
  size_t ignored() const { return ignored_; }
  // SHA-256 of its text, lower-case hexadecimal.
  const std::string& digest() const { return digest_; }

 private:
  std::vector<Jwk> keys_;
  size_t ignored_ = 0;
  std::string digest_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TOKEN_JWK_SET_H_
