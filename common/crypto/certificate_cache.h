#ifndef BYRNIE_COMMON_CRYPTO_CERTIFICATE_CACHE_H_
#define BYRNIE_COMMON_CRYPTO_CERTIFICATE_CACHE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/certificate.h"

namespace byrnie {

// Parses certificates so that who holds the same one shares it: parsed it takes several KiB, and a
// peer shows the same for each of its connections. Keeps none alive itself. Thread-safe.
class CertificateCache {
 public:
  CertificateCache() = default;
  CertificateCache(const CertificateCache&) = delete;
  CertificateCache& operator=(const CertificateCache&) = delete;

  // As Certificate::FromDer.
  absl::StatusOr<CertificatePtr> FromDer(absl::string_view der);

  // Certificates that are known, gone ones that have not been noticed yet included.
  size_t size() const;

 private:
  using Digest = std::array<uint8_t, 32>;
  // Fewer are not worth looking through.
  static constexpr size_t kLeastSweep = 64;

  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  mutable std::mutex mutex_;
  absl::flat_hash_map<Digest, std::weak_ptr<const Certificate>> known_;  // Guarded by mutex_.
  size_t sweep_at_ = kLeastSweep;                                        // Likewise.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CERTIFICATE_CACHE_H_
