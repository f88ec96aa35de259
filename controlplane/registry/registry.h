#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// Holds the snapshot in force. Thread-safe.
class Registry {
 public:
  Registry() : snapshot_(RegistrySnapshot::Empty()) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Never null; the empty one before the first Publish().
  RegistrySnapshotPtr snapshot() const;
  // Puts `snapshot` in force, then calls the listener on this thread.
  void Publish(RegistrySnapshotPtr snapshot);
  // Who is to be told of every change; replaces the one before. Empty: nobody. Returns when no call
  // of the old one is running any more, so it must not be called from a listener.
  void SetListener(std::function<void()> listener);

 private:
  mutable absl::Mutex mu_;
  RegistrySnapshotPtr snapshot_ ABSL_GUARDED_BY(mu_);
  absl::Mutex listener_mu_;
  std::function<void()> listener_ ABSL_GUARDED_BY(listener_mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_H_
