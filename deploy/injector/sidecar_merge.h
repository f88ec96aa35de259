#ifndef BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_
#define BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_

#include "deploy/injector/json.h"
#include "deploy/injector/sidecar_containers.h"

namespace byrnie {

// Keeps in `sidecar`, as it is made now, what others have made of the one that `pod` has and that
// was made of the same settings: the image, its pull policy and the resources of our containers,
// which a registry's mirror, admission plugins and LimitRanges decide, and what others have added
// to them, such as variables or the API server's defaults. All else is as `sidecar` has it. Again
// it changes nothing.
//
// What is added does not stay, and is one of the sidecar's warnings, where by it a program would
// load something else or have what is the application's, or somebody else would come in or say when
// it is started, ready or ended: variables of the loader, of libraries or of a Secret, envFrom,
// volumes of which not all is known to the namespace, mounts at, above or below our own files,
// volumeDevices, ports, probes, hooks, stdin, tty and workingDir; of the containers that are root
// with NET_ADMIN any variable and mount.
void KeepWhatOthersSay(const Json& pod, SidecarContainers* sidecar);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_SIDECAR_MERGE_H_
