#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/resource_list.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// Whether a registry with a change would be good: every key and address once, every reference to a
// service, port or policy to one there is. Costs what changes, with the workloads behind a service
// and under a policy that is taken away; what was checked before is not checked again.
//
// InvalidArgument names the entry of the change, or what is there and would be left in the air,
// what is wrong, and the remedy. AlreadyExists names both where two sources say the same.
absl::Status CheckChange(const RegistrySnapshot& base, const RegistryChange& change);

// What is to be different for a source to say this and nothing else. InvalidArgument when a key is
// in it twice.
absl::StatusOr<RegistryChange> ChangeTo(const RegistrySnapshot& base, const ResourceList& list);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_
