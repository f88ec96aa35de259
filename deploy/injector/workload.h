#ifndef BYRNIE_DEPLOY_INJECTOR_WORKLOAD_H_
#define BYRNIE_DEPLOY_INJECTOR_WORKLOAD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"

namespace byrnie {

// What became of an object that makes pods.
struct WorkloadOutcome {
  std::string name;  // "Deployment demo/web".
  PodOutcome pod;
};

// Injects the pods of a Kubernetes object: a Pod, the template of a Deployment, StatefulSet,
// DaemonSet, ReplicaSet, ReplicationController, Job, CronJob or PodTemplate, or all of these in a
// List. One outcome for each; none for an object that makes no pods, which stays as it is.
// InvalidArgument names the object, and `object` is as it was.
absl::StatusOr<std::vector<WorkloadOutcome>> InjectObject(const InjectorConfig& config,
                                                          Json* object);

// Those of `object`, or of the items of a List, that have containers in them and are of no kind
// that is known here: "Rollout demo/web". They are left as they are.
std::vector<std::string> UnknownMakers(const Json& object);

// Takes the sidecar out again. The names of what has changed; InvalidArgument, with `object` as it
// was, names one whose sidecar cannot be, see CannotUninject.
absl::StatusOr<std::vector<std::string>> UninjectObject(Json* object);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_WORKLOAD_H_
