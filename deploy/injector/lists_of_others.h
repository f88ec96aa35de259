#ifndef BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_
#define BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_

#include "deploy/injector/json.h"
#include "deploy/injector/sidecar_containers.h"

namespace byrnie {

// Annotations that are not Byrnie's and list a pod's containers or volumes by name, to which those
// of the sidecar are added: webhooks for cloud identities give no credentials to such containers,
// and the Cluster Autoscaler takes a node away although its pods have such volumes.

// Adds what is missing, behind what is there. Says of which lists some was there already, or which
// were there without anything in them, and what, for RemoveFromLists(); an object.
Json AddToLists(const SidecarContainers& sidecar, Json* annotations);

// Takes ours out of the lists of a pod's `metadata`, but for what AddToLists() has `found` there,
// and the lists and the annotations where nothing is left.
void RemoveFromLists(const Json* found, Json* metadata);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_
