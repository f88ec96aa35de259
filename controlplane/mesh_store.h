#ifndef BYRNIE_CONTROLPLANE_MESH_STORE_H_
#define BYRNIE_CONTROLPLANE_MESH_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/records/mesh_record.h"
#include "controlplane/store/guarded_store.h"
#include "controlplane/store/observed_store.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The store as a control plane has it: a shared one is believed only while it is that of the mesh
// that was found in it at the start, and whatever fails is counted and logged. Thread-safe but for
// what says otherwise.
class MeshStore {
 public:
  // Of an engine that no other process uses. Errors as MayMakeRoot. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<MeshStore>> OfOneProcess(std::unique_ptr<Store> engine,
                                                                 const MeshStart& start,
                                                                 const Clock* clock, Logger* logger,
                                                                 MetricRegistry* metrics);
  // Of a shared one, whose mesh it finds or makes. Errors as FindOrMakeMesh. The pointers outlive
  // it.
  static absl::StatusOr<std::unique_ptr<MeshStore>> Shared(std::unique_ptr<Store> engine,
                                                           const MeshStart& start,
                                                           const Clock* clock, Logger* logger,
                                                           MetricRegistry* metrics);
  MeshStore(const MeshStore&) = delete;
  MeshStore& operator=(const MeshStore&) = delete;

  // For whatever is kept in it.
  ObservedStore* store() { return observed_.get(); }
  // Whether a first root may be made.
  bool may_make_root() const { return mesh_.may_make_root; }

  // In a store that has lost everything, for who starts now and has nothing else to tell by that it
  // is no new mesh. To be called by one thread, about twice a second.
  void LeaveWord();

 private:
  MeshStore(std::unique_ptr<Store> engine, MeshFound mesh, std::string name, const Clock* clock);

  const std::unique_ptr<Store> engine_;
  const MeshFound mesh_;
  // What this control plane is called.
  const std::string name_;
  const Clock* const clock_;  // Not owned.
  // Where the store is shared.
  std::unique_ptr<GuardedStore> guarded_;
  std::unique_ptr<ObservedStore> observed_;
  bool word_left_ = false;  // Of LeaveWord's thread.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_MESH_STORE_H_
