#ifndef BYRNIE_DEPLOY_INJECTOR_POD_INJECTION_H_
#define BYRNIE_DEPLOY_INJECTOR_POD_INJECTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What became of a pod, or of a pod template.
struct PodOutcome {
  enum class Kind {
    kInjected,
    kUpdated,    // It had our sidecar, made from other settings or before others added to the pod.
    kUnchanged,  // It had our sidecar, as it would be made now.
    kOptedOut,
    kRefused,  // It cannot be meshed.
  };
  Kind kind = Kind::kInjected;
  // For kOptedOut and kRefused.
  std::string why;
  // It had our sidecar, which is taken out: kOptedOut and kRefused.
  bool taken_out = false;
  // Where it has image pull secrets, they are ours alone.
  bool first_pull_secrets = false;
  std::vector<std::string> warnings;
};

// Puts the sidecar into `pod`, an object with metadata and spec: the agent, the proxy and the
// redirect, their volumes, the image pull secrets, the label byrnie.io/rev, the annotation
// byrnie.io/status. Native
// sidecars come before all other init containers; classic ones before all other containers, with
// the redirect after all other init containers. What is there already, of whatever revision, is
// made anew, so that it may be called again, also when others have changed the pod in between; what
// they have said of our own
// containers stays where the settings are those it was made of, see sidecar_merge.h. Where the pod
// is not to have a sidecar or cannot, and has one, that is taken out. InvalidArgument, with `pod`
// as it was, when an annotation of ours is wrong or `pod` is not made as a pod is. Without
// `label_it` it is left without the label, for what takes its template's labels for a selector.
absl::StatusOr<PodOutcome> InjectPod(const InjectorConfig& config, Json* pod, bool label_it = true);

// Takes it out. False when there is none, or when it cannot be, with `pod` as it was.
bool UninjectPod(Json* pod);

// Why the sidecar that `pod` has cannot be taken out, nor made anew: a probe asks the proxy, and
// the annotation that knew what it was is gone, or does not know. "" for no reason.
std::string CannotUninject(const Json& pod);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_POD_INJECTION_H_
