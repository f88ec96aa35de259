#ifndef BYRNIE_COMMON_CRYPTO_SEALING_KEY_H_
#define BYRNIE_COMMON_CRYPTO_SEALING_KEY_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// A 256-bit key that secrets are encrypted with before they are stored: AES-256-GCM (NIST SP
// 800-38D), a random nonce each, so that one key is good for far more secrets than a mesh has.
// Immutable, thread-safe. Its bytes lie in secret memory; the library's copy for one operation is
// wiped before the call returns.
class SealingKey {
 public:
  static constexpr size_t kSize = 32;

  // Exactly kSize bytes. InvalidArgument otherwise, and when all of them are equal.
  static absl::StatusOr<std::shared_ptr<const SealingKey>> FromBytes(SecretBytes bytes);
  // What a file or a variable holds: kSize bytes as they are, or as hexadecimal or base64 with
  // white space around it. InvalidArgument, without quoting anything: neither of these, or a text
  // somebody made up (bytes that are all printable).
  static absl::StatusOr<std::shared_ptr<const SealingKey>> Parse(const SecretBytes& contents);

  SealingKey(const SealingKey&) = delete;
  SealingKey& operator=(const SealingKey&) = delete;

  // Tells keys apart without giving anything of them away: 16 hexadecimal digits.
  const std::string& id() const { return id_; }

  // Encrypts `secret`. `context` says what it is; Open() wants the same one, so that no sealed
  // secret can be put in the place of another.
  absl::StatusOr<std::string> Seal(const SecretBytes& secret, absl::string_view context) const;
  // FailedPrecondition when `sealed` was made with another key, whose id the message names.
  // DataLoss when it was made with this one and has been changed, cut or moved.
  absl::StatusOr<SecretBytes> Open(absl::string_view sealed, absl::string_view context) const;

  // Whether Seal() made it; says nothing about which key.
  static bool IsSealed(absl::string_view bytes);

 private:
  SealingKey(SecretBytes key, std::string id) : key_(std::move(key)), id_(std::move(id)) {}

  const SecretBytes key_;
  const std::string id_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_SEALING_KEY_H_
