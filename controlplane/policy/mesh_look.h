#ifndef BYRNIE_CONTROLPLANE_POLICY_MESH_LOOK_H_
#define BYRNIE_CONTROLPLANE_POLICY_MESH_LOOK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/policy/known_mesh.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// What the registry has, for those who review policies. In a large mesh it takes long to look at
// and is large to keep: so one look serves all who had come before it began, and it is kept while
// somebody is there. Thread-safe.
class MeshLook {
 public:
  using Snapshot = std::function<RegistrySnapshotPtr()>;
  using Look = std::function<KnownMesh(const RegistrySnapshot&)>;

  // `snapshot` says what is in force now.
  explicit MeshLook(Snapshot snapshot, Look look = LookAround)
      : snapshot_(std::move(snapshot)), look_(std::move(look)) {}
  MeshLook(const MeshLook&) = delete;
  MeshLook& operator=(const MeshLook&) = delete;

  // Somebody who wants to know. Of one thread.
  class Visit {
   public:
    explicit Visit(MeshLook* look) : look_(look), arrival_(look->Enter()) {}
    ~Visit() { look_->Leave(); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    // What was in force when the visit began, or later. May take long, and waits for others.
    std::shared_ptr<const KnownMesh> Known() const { return look_->Known(arrival_); }

   private:
    MeshLook* const look_;  // Not owned.
    const uint64_t arrival_;
  };

 private:
  uint64_t Enter() ABSL_LOCKS_EXCLUDED(mu_);
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<const KnownMesh> Known(uint64_t arrival) ABSL_LOCKS_EXCLUDED(looking_, mu_);

  const Snapshot snapshot_;
  const Look look_;
  // Held while somebody looks: two looks at once would be twice as large.
  absl::Mutex looking_ ABSL_ACQUIRED_BEFORE(mu_);
  absl::Mutex mu_;
  uint64_t arrivals_ ABSL_GUARDED_BY(mu_) = 0;
  size_t present_ ABSL_GUARDED_BY(mu_) = 0;
  // Null: nobody has looked, or all have left since.
  std::shared_ptr<const KnownMesh> known_ ABSL_GUARDED_BY(mu_);
  RegistrySnapshotPtr known_of_ ABSL_GUARDED_BY(mu_);
  // The last arrival that it is new enough for.
  uint64_t known_for_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_MESH_LOOK_H_
