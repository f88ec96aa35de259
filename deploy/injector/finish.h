#ifndef BYRNIE_DEPLOY_INJECTOR_FINISH_H_
#define BYRNIE_DEPLOY_INJECTOR_FINISH_H_

#include <string>

#include "absl/strings/string_view.h"
#include "deploy/injector/json.h"
#include "deploy/injector/sidecar_containers.h"

namespace byrnie {

// How classic sidecars end with a pod that ends by itself: its applications run their commands
// through byrnie-finish, which leaves a file when one has ended, and the sidecars theirs, which
// ends them when all files are there. Native sidecars need none of this.

inline constexpr absl::string_view kFinishDirectory = "/run/byrnie-finish";

// Whether the pod is done when its containers are.
bool EndsByItself(const Json& spec);

// Why its applications cannot be run so, with the remedy; empty when they can.
std::string CannotFinish(const Json& spec);

// Changes the commands of spec's containers, which are the applications', and of the sidecar.
void AddFinish(SidecarContainers* sidecar, Json* spec);

// Gives the applications their commands back.
void RemoveFinish(Json* spec);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_FINISH_H_
