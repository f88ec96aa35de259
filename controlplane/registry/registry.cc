#include "controlplane/registry/registry.h"

#include <utility>

namespace byrnie {

RegistrySnapshotPtr Registry::snapshot() const {
  absl::MutexLock lock(&mu_);
  return snapshot_;
}

void Registry::Publish(RegistrySnapshotPtr snapshot) {
  {
    absl::MutexLock lock(&mu_);
    snapshot_ = std::move(snapshot);
  }
  absl::MutexLock lock(&listener_mu_);
  if (listener_) listener_();
}

void Registry::SetListener(std::function<void()> listener) {
  absl::MutexLock lock(&listener_mu_);
  listener_ = std::move(listener);
}

}  // namespace byrnie
