#include "common/identity/verified_paths.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "openssl/sha2.h"

namespace byrnie {
namespace {

void AddTo(SHA256_CTX* hash, const std::string& der) {
  // With its size, so that no two lists of certificates are the same bytes.
  const uint64_t size = der.size();
  SHA256_Update(hash, &size, sizeof(size));
  SHA256_Update(hash, der.data(), der.size());
}

}  // namespace

VerifiedPaths::Digest VerifiedPaths::DigestOf(const CertificateChain& chain,
                                              const Certificate& anchor) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  AddTo(&hash, anchor.der());
  for (const CertificatePtr& certificate : chain) AddTo(&hash, certificate->der());
  Digest digest;
  SHA256_Final(digest.data(), &hash);
  return digest;
}

absl::optional<VerifiedPaths::Path> VerifiedPaths::Find(const CertificateChain& chain,
                                                        const Certificate& anchor,
                                                        absl::Time now) const {
  const Digest digest = DigestOf(chain, anchor);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = known_.find(digest);
  // The seconds at both ends are the verifier's to judge.
  if (it == known_.end() || now <= it->second.not_before ||
      now >= it->second.not_after - absl::Seconds(1)) {
    return absl::nullopt;
  }
  Path path;
  for (const uint8_t place : it->second.places) path.push_back(chain[place].get());
  path.push_back(&anchor);
  return path;
}

void VerifiedPaths::Add(const CertificateChain& chain, const Certificate& anchor,
                        const Path& path) {
  DCHECK(path.size() >= 2 && path.back() == &anchor);
  Known known;
  known.not_before = anchor.not_before();
  known.not_after = anchor.not_after();
  for (const Certificate* const certificate : path) {
    known.not_before = std::max(known.not_before, certificate->not_before());
    known.not_after = std::min(known.not_after, certificate->not_after());
    if (certificate == &anchor) break;
    const auto at = std::find_if(
        chain.begin(), chain.end(),
        [certificate](const CertificatePtr& each) { return each.get() == certificate; });
    CHECK(at != chain.end());
    known.places.push_back(static_cast<uint8_t>(std::distance(chain.begin(), at)));
  }
  const Digest digest = DigestOf(chain, anchor);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kMost) known_.clear();
  known_[digest] = std::move(known);
}

size_t VerifiedPaths::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return known_.size();
}

}  // namespace byrnie
