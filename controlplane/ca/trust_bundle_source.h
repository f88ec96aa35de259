#ifndef BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_
#define BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// The trust bundles in force and their version. Thread-safe.
class TrustBundleSource {
 public:
  using BundlesPtr = std::shared_ptr<const TrustBundleSet>;
  // A root whose certificates are to be renewed, by its id, and how long that may take; an empty
  // id: none.
  struct Taint {
    std::string root;
    absl::Duration renew_within;
  };
  struct Versioned {
    uint64_t version;
    BundlesPtr bundles;
    Taint taint = {};
  };

  // `first_version` is above those of earlier processes: agents take one they know for what they
  // have already.
  explicit TrustBundleSource(TrustBundleSet bundles, uint64_t first_version = 1, Taint taint = {})
      : current_{first_version, std::make_shared<const TrustBundleSet>(std::move(bundles)),
                 std::move(taint)} {
    absl::MutexLock lock(&mu_);
    NoteRoots();
  }

  Versioned current() const {
    absl::MutexLock lock(&mu_);
    return current_;
  }
  BundlesPtr bundles() const { return current().bundles; }

  // Puts the next version in force; the caller then wakes the streams that carry it.
  void Publish(TrustBundleSet bundles, Taint taint = {}) {
    auto next = std::make_shared<const TrustBundleSet>(std::move(bundles));
    absl::MutexLock lock(&mu_);
    current_ = {current_.version + 1, std::move(next), std::move(taint)};
    NoteRoots();
  }

  // The id of the newest root of a trust domain; empty where there is none.
  std::string NewestRoot(const std::string& trust_domain) const {
    const TrustBundle* const bundle = bundles()->Find(trust_domain);
    return bundle == nullptr || bundle->roots.empty() ? "" : bundle->roots.back()->FingerprintHex();
  }

  // The version since which the root (Certificate::FingerprintHex) is in force: whoever has
  // acknowledged that one or a later one trusts it. 0: it is not in force.
  uint64_t VersionWith(const std::string& root) const {
    absl::MutexLock lock(&mu_);
    const auto found = since_.find(root);
    return found == since_.end() ? 0 : found->second;
  }

 private:
  void NoteRoots() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::map<std::string, uint64_t> since;
    for (const auto& entry : current_.bundles->bundles()) {
      for (const CertificatePtr& root : entry.second.roots) {
        const std::string id = root->FingerprintHex();
        const auto before = since_.find(id);
        since[id] = before == since_.end() ? current_.version : before->second;
      }
    }
    since_ = std::move(since);
  }

  mutable absl::Mutex mu_;
  Versioned current_ ABSL_GUARDED_BY(mu_);
  // By root: the version that brought it.
  std::map<std::string, uint64_t> since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_TRUST_BUNDLE_SOURCE_H_
