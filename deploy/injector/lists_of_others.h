#ifndef BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_
#define BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_

#include "deploy/injector/json.h"
#include "deploy/injector/sidecar_containers.h"

namespace byrnie {

// Annotations that are not Byrnie's and list a pod's containers or volumes by name, to which those
// of the sidecar are added: webhooks for cloud identities give no credentials to such containers,
// and the Cluster Autoscaler takes a node away although its pods have such volumes.

// Adds what is missing, behind what is there. Says of which lists some was there already, or which
// were there without anything in them, and what: "lists" of byrnie.io/status, an object.
Json AddToLists(const SidecarContainers& sidecar, Json* annotations);

// Takes back a list of `before` that says the same in another order: others may have added to it
// behind ours.
void KeepListsAsTheyAre(const Json& before, Json* annotations);

// Takes ours out of the lists of a pod's `metadata`, but for what AddToLists() has found there by
// the pod's `status`, and the lists and the annotations where nothing is left. A status without
// "lists" is of a release that added nothing: what is there its owner has written. Null: something
// has taken the status away.
void RemoveFromLists(const Json& status, Json* metadata);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_LISTS_OF_OTHERS_H_
