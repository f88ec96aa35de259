#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/resource.h"
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

// Something stored that does not go with the rest.
struct StoredTrouble {
  ResourcePtr resource;
  // What is wrong, where, and the remedy; AlreadyExists and InvalidArgument as CheckChange.
  absl::Status why;
  // Not in force: its key or address is somebody else's. Else it is, though what it refers to is
  // missing: proxies deny every connection to a workload that names a policy they do not have, and
  // a workload is behind no service that is not there.
  bool left_out = false;
};

// For what is stored, and so cannot be refused any more: leaves the part of `change` that cannot be
// made, and tells what does not go with the rest. What comes first in it has precedence. A policy
// that was applied through the API takes the place of one of the cluster that has its key.
std::vector<StoredTrouble> FitChange(const RegistrySnapshot& base, RegistryChange* change);

// What is to be different for a source to say this and nothing else. InvalidArgument when a key is
// in it twice.
absl::StatusOr<RegistryChange> ChangeTo(const RegistrySnapshot& base, const ResourceList& list);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CHANGE_CHECKER_H_
