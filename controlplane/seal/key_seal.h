#ifndef BYRNIE_CONTROLPLANE_SEAL_KEY_SEAL_H_
#define BYRNIE_CONTROLPLANE_SEAL_KEY_SEAL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/sealing_key.h"

namespace byrnie {

// How private keys are kept in the store: sealed where the operator has given a key for that, else
// as they are. A value; thread-safe.
//
// Moving from one state to the next needs no tool: what is found unsealed, or sealed with the
// previous key, is reported as stale, and whoever opened it writes it anew.
class KeySeal {
 public:
  // Keys are kept as they are.
  KeySeal() = default;
  // `previous` may be null: the key to open with what `key` did not seal.
  explicit KeySeal(std::shared_ptr<const SealingKey> key,
                   std::shared_ptr<const SealingKey> previous = nullptr)
      : key_(std::move(key)), previous_(std::move(previous)) {}

  bool seals() const { return key_ != nullptr; }
  // Of the key; empty without one.
  std::string key_id() const { return key_ == nullptr ? "" : key_->id(); }

  // What to store of the private key `key` in the record called `record`.
  absl::StatusOr<std::string> Protect(const SecretBytes& key, absl::string_view record) const;

  struct Opened {
    SecretBytes key;
    // It is not stored the way Protect() would: store it again.
    bool stale = false;
  };
  // FailedPrecondition says what to do: it is sealed and no key was given, or the wrong one.
  // DataLoss: it is damaged.
  absl::StatusOr<Opened> Open(absl::string_view stored, absl::string_view record) const;

 private:
  std::shared_ptr<const SealingKey> key_, previous_;
};

// Reads a key from `source`: the path of a file, or "env:NAME" for an environment variable, whose
// memory is wiped. Null for an empty `source`. InvalidArgument, NotFound and the like say what is
// wrong and what to do; PermissionDenied when others than the file's owner and group may read it.
absl::StatusOr<std::shared_ptr<const SealingKey>> ReadSealingKey(const std::string& source);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SEAL_KEY_SEAL_H_
