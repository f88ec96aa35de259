#include "common/tls/testing/local_signer.h"

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace byrnie {
namespace {

constexpr uint16_t kEcdsaSecp256r1Sha256 = 0x0403;

}  // namespace

void LocalSigner::AddKey(const TestIdentity& identity) {
  absl::MutexLock lock(&mutex_);
  keys_[identity.chain.front()->FingerprintHex()] = identity.key;
}

void LocalSigner::set_failure(absl::Status failure) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(failure);
}

void LocalSigner::Hold() {
  absl::MutexLock lock(&mutex_);
  holding_ = true;
}

void LocalSigner::Release() {
  absl::MutexLock lock(&mutex_);
  holding_ = false;
  while (!held_.empty()) {
    Answer(std::move(held_.front()));
    held_.pop_front();
  }
}

size_t LocalSigner::held() const {
  absl::MutexLock lock(&mutex_);
  return held_.size();
}

int LocalSigner::requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

void LocalSigner::Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
                       EventLoop* loop, Callback done) {
  absl::MutexLock lock(&mutex_);
  ++requests_;
  Request request{std::string(leaf_fingerprint_hex), scheme, std::move(input), loop,
                  std::move(done)};
  if (holding_) {
    held_.push_back(std::move(request));
  } else {
    Answer(std::move(request));
  }
}

void LocalSigner::Answer(Request request) {
  absl::StatusOr<std::string> answer = absl::UnknownError("no answer");
  if (!failure_.ok()) {
    answer = failure_;
  } else {
    const auto key = keys_.find(request.fingerprint);
    if (key == keys_.end() || request.scheme != kEcdsaSecp256r1Sha256) {
      answer = absl::PermissionDeniedError(absl::StrCat("no key for ", request.fingerprint));
    } else {
      answer = key->second->SignEcdsaSha256(absl::MakeConstSpan(
          reinterpret_cast<const uint8_t*>(request.input.data()), request.input.size()));
    }
  }
  request.loop->Post([done = std::move(request.done), answer = std::move(answer)]() mutable {
    done(std::move(answer));
  });
}

}  // namespace byrnie
