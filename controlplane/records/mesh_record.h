#ifndef BYRNIE_CONTROLPLANE_RECORDS_MESH_RECORD_H_
#define BYRNIE_CONTROLPLANE_RECORDS_MESH_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Which mesh a shared store is of.
inline constexpr char kMeshKey[] = "mesh";

// What a control plane finds when it starts over a shared store.
struct MeshFound {
  std::string id;
  // Of the record.
  int64_t revision = 0;
  // Nothing else is in the store, so that a first root may be made.
  bool may_make_root = false;
};

struct MeshStart {
  // What the control plane is called.
  std::string name;
  // For a store that has no mesh yet.
  std::string new_id;
  // It makes roots of its own.
  bool own_roots = true;
  // An operator says that there was none, or that it is to be forgotten.
  bool new_mesh = false;
  // What tells that there was a mesh in this place, for people.
  std::vector<std::string> traces;
  // Other control planes use the store, too.
  bool shared = true;
};

// Finds the mesh of the store, or makes it one where the store is empty and nothing tells that it
// was not. FailedPrecondition: it is empty, or a part of it is missing, where there was a mesh, or
// which mesh it is of cannot be read, with what to do. Errors as the store.
absl::StatusOr<MeshFound> FindOrMakeMesh(Store* store, const MeshStart& start, absl::Time now);

// Whether a first root may be made in a store that no other process uses, which has no record of
// its mesh. FailedPrecondition: it is empty, or a part of it is missing, where there was a mesh,
// with what to do. Errors as the store.
absl::StatusOr<bool> MayMakeRoot(Store* store, const MeshStart& start);

// What to say where there is no store at all any more, by the traces of `start`.
// FailedPrecondition: there are any, and no operator says that the mesh is to be forgotten.
absl::Status CheckNoTraces(const MeshStart& start);

// Whether the record, which has changed, still says that the store is that of the mesh `id`.
// FailedPrecondition: it says something else. Unavailable: it cannot be read.
absl::Status JudgeMesh(const StoreEntry& entry, const std::string& id);

// Leaves a word in a store that has lost everything, so that no control plane that starts takes it
// for a new one. Aborted: there is one already. Errors as the store.
absl::Status MarkMeshLost(Store* store, const std::string& id, const std::string& name,
                          absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_MESH_RECORD_H_
