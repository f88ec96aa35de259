#include "controlplane/webhook/key_signer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace byrnie {
namespace {

constexpr uint16_t kEcdsaSecp256r1Sha256 = 0x0403;

}  // namespace

void KeySigner::Use(std::string leaf_fingerprint_hex, std::shared_ptr<const PrivateKey> key) {
  absl::MutexLock lock(&mu_);
  previous_ = std::exchange(current_, Key{std::move(leaf_fingerprint_hex), std::move(key)});
}

std::shared_ptr<const PrivateKey> KeySigner::Find(absl::string_view leaf) const {
  absl::MutexLock lock(&mu_);
  return current_.leaf == leaf ? current_.key : previous_.leaf == leaf ? previous_.key : nullptr;
}

void KeySigner::Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
                     EventLoop* loop, Callback done) {
  absl::StatusOr<std::string> answer = absl::PermissionDeniedError(
      absl::StrCat("there is no key for the certificate ", leaf_fingerprint_hex));
  const std::shared_ptr<const PrivateKey> key = Find(leaf_fingerprint_hex);
  if (key != nullptr && scheme == kEcdsaSecp256r1Sha256) {
    answer = key->SignEcdsaSha256(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(input.data()), input.size()));
  }
  loop->Post(
      [done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

}  // namespace byrnie
