#ifndef BYRNIE_COMMON_IDENTITY_VERIFIED_PATHS_H_
#define BYRNIE_COMMON_IDENTITY_VERIFIED_PATHS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"

namespace byrnie {

// Remembers by which path a chain led to a trust anchor, so that a peer that shows the same
// certificates for each of its connections has their signatures verified once. What is remembered
// holds for these very bytes for ever: signatures, names, constraints and uses, not what changes,
// which is whether the anchor is trusted, whether anything is revoked, and the time, for which each
// path has its bounds. Only good paths are remembered, so that a stranger cannot add any.
// Thread-safe.
class VerifiedPaths {
 public:
  // Leaf first, trust anchor last.
  using Path = std::vector<const Certificate*>;

  VerifiedPaths() = default;
  VerifiedPaths(const VerifiedPaths&) = delete;
  VerifiedPaths& operator=(const VerifiedPaths&) = delete;

  // The path by which a chain of the same certificates led to the same anchor, of those given here.
  // None where that is not known, or a certificate of it is not valid at `now`.
  absl::optional<Path> Find(const CertificateChain& chain, const Certificate& anchor,
                            absl::Time now) const;
  // `path` leads from the first of `chain` over others of it to `anchor`, and has been verified.
  void Add(const CertificateChain& chain, const Certificate& anchor, const Path& path);

  size_t size() const;

 private:
  using Digest = std::array<uint8_t, 32>;
  // Of a mesh's peers; where there are more, all is forgotten now and then.
  static constexpr size_t kMost = 1024;

  struct Known {
    absl::Time not_before;
    absl::Time not_after;
    std::vector<uint8_t> places;  // In the chain, without the anchor.
  };

  static Digest DigestOf(const CertificateChain& chain, const Certificate& anchor);

  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  mutable std::mutex mutex_;
  absl::flat_hash_map<Digest, Known> known_;  // Guarded by mutex_.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_VERIFIED_PATHS_H_
