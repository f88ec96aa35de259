#ifndef BYRNIE_CONTROLPLANE_OPEN_MESH_STORE_H_
#define BYRNIE_CONTROLPLANE_OPEN_MESH_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/control_plane_options.h"
#include "controlplane/mesh_store.h"

namespace byrnie {

// Opens the store that the flags name, and sees to it that a shared one is that of a mesh.
// `created` tells, also of an error, whether it is a new file. Errors say what is wrong and what to
// do. The pointers but `created` outlive it.
absl::StatusOr<std::unique_ptr<MeshStore>> OpenMeshStore(const ControlPlaneOptions& options,
                                                         const Clock* clock, Logger* logger,
                                                         MetricRegistry* metrics, bool* created);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPEN_MESH_STORE_H_
