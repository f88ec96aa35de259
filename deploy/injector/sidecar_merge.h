#ifndef BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_
#define BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_

#include "deploy/injector/json.h"
#include "deploy/injector/sidecar_containers.h"

namespace byrnie {

// Keeps in `sidecar`, as it is made now, what others have made of the one that `pod` has and that
// was made of the same settings: the image, its pull policy and the resources of our containers,
// which a registry's mirror, admission plugins and LimitRanges decide, and all that others have
// added to them, such as variables, mounts, or the API server's defaults. All else is as `sidecar`
// has it. Again it changes nothing.
void KeepWhatOthersSay(const Json& pod, SidecarContainers* sidecar);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_
