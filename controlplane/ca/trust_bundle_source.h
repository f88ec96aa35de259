#ifndef BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_
#define BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// The trust bundles in force and their version. Thread-safe.
class TrustBundleSource {
 public:
  using BundlesPtr = std::shared_ptr<const TrustBundleSet>;
  struct Versioned {
    uint64_t version;
    BundlesPtr bundles;
  };

  // `first_version` is above those of earlier processes: agents take one they know for what they
  // have already.
  explicit TrustBundleSource(TrustBundleSet bundles, uint64_t first_version = 1)
      : current_{first_version, std::make_shared<const TrustBundleSet>(std::move(bundles))} {}

  Versioned current() const {
    absl::MutexLock lock(&mu_);
    return current_;
  }
  BundlesPtr bundles() const { return current().bundles; }

  // Puts the next version in force; the caller then wakes the streams that carry it.
  void Publish(TrustBundleSet bundles) {
    auto next = std::make_shared<const TrustBundleSet>(std::move(bundles));
    absl::MutexLock lock(&mu_);
    current_ = {current_.version + 1, std::move(next)};
  }

 private:
  mutable absl::Mutex mu_;
  Versioned current_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_
