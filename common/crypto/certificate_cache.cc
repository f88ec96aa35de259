#include "common/crypto/certificate_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "openssl/sha2.h"

namespace byrnie {

absl::StatusOr<CertificatePtr> CertificateCache::FromDer(absl::string_view der) {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(der.data()), der.size(), digest.data());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = known_.find(digest);
    CertificatePtr known = it == known_.end() ? nullptr : it->second.lock();
    if (known != nullptr) return known;
  }
  // Outside the lock: what a stranger sends is not to keep other handshakes waiting.
  ASSIGN_OR_RETURN(CertificatePtr parsed, Certificate::FromDer(der));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= sweep_at_) {
    absl::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max(kLeastSweep, 2 * known_.size());
  }
  known_[digest] = parsed;
  return parsed;
}

size_t CertificateCache::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return known_.size();
}

}  // namespace byrnie
