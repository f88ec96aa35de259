#ifndef BYRNIE_COMMON_IDENTITY_IDENTITY_SNAPSHOT_H_
#define BYRNIE_COMMON_IDENTITY_IDENTITY_SNAPSHOT_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// All of an identity that may be shown: the certificate chain and the trust bundles it is used
// with, published together by one pointer so that nobody ever pairs new with old. Holds no private
// key. Immutable, thread-safe; an object that exists verified at the time it was made.
class IdentitySnapshot {
 public:
  // Verifies the chain against the bundles at `now`. Unauthenticated as VerifyOwnSvid says.
  static absl::StatusOr<std::shared_ptr<const IdentitySnapshot>> Create(
      uint64_t generation, CertificateChain chain, TrustBundleSet bundles, absl::Time now,
      absl::optional<absl::Duration> clock_offset = {});

  // Grows by one with each published snapshot of a process; part of the tunnel pool's key.
  uint64_t generation() const { return generation_; }
  const SpiffeId& id() const { return id_; }
  const CertificateChain& chain() const { return chain_; }
  const Certificate& leaf() const { return *chain_.front(); }
  const TrustBundleSet& bundles() const { return bundles_; }
  // The earliest end of the chain.
  absl::Time not_after() const { return not_after_; }
  // Whether it may be used at `now`, which setting a clock back changes, too. FailedPrecondition:
  // "the own certificate expired 9 s ago", or is valid in so long.
  absl::Status CheckValidAt(absl::Time now) const;
  // How far the mesh's clock was ahead of this machine's when the chain was issued; absent when
  // nobody knows. For messages alone.
  absl::optional<absl::Duration> clock_offset() const { return clock_offset_; }

 private:
  IdentitySnapshot(uint64_t generation, SpiffeId id, CertificateChain chain, TrustBundleSet bundles,
                   absl::Time not_after, absl::optional<absl::Duration> clock_offset)
      : generation_(generation),
        id_(std::move(id)),
        chain_(std::move(chain)),
        bundles_(std::move(bundles)),
        not_after_(not_after),
        clock_offset_(clock_offset) {}
  uint64_t generation_;
  SpiffeId id_;
  CertificateChain chain_;
  TrustBundleSet bundles_;
  absl::Time not_after_;
  absl::optional<absl::Duration> clock_offset_;
};

// As IdentitySnapshot::CheckValidAt, for who keeps the times alone.
absl::Status CheckOwnValidity(absl::Time not_before, absl::Time not_after, absl::Time now);

using IdentitySnapshotPtr = std::shared_ptr<const IdentitySnapshot>;

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_IDENTITY_SNAPSHOT_H_
