#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_KEY_SIGNER_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_KEY_SIGNER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"
#include "common/tls/signer.h"

namespace byrnie {

// A Signer with the keys of this process: the current one, and the one before, with which a
// handshake may have begun. Thread-safe.
class KeySigner final : public Signer {
 public:
  // From now on also signs for this leaf.
  void Use(std::string leaf_fingerprint_hex, std::shared_ptr<const PrivateKey> key);

  void Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
            EventLoop* loop, Callback done) override;

 private:
  struct Key {
    std::string leaf;
    std::shared_ptr<const PrivateKey> key;
  };
  std::shared_ptr<const PrivateKey> Find(absl::string_view leaf) const;

  mutable absl::Mutex mu_;
  Key current_ ABSL_GUARDED_BY(mu_), previous_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_KEY_SIGNER_H_
