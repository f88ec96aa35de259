#ifndef BYRNIE_DEPLOY_INJECTOR_INJECTOR_CONFIG_H_
#define BYRNIE_DEPLOY_INJECTOR_INJECTOR_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What an injected pod is told of its mesh. A value; the same for the webhook and for byrniectl.
struct InjectorConfig {
  // One image with all of Byrnie's programs in kBinaryDirectory.
  std::string image = "byrnie:0.1.0";
  // Secrets of the pod's namespace by which its node may get the image, added to the pod's own.
  std::vector<std::string> image_pull_secrets;
  // The agents' --control_plane.
  std::string control_plane = "byrnie-controlplane.byrnie-system.svc:15012";
  std::string trust_domain = "cluster.local";
  // Whom the pods' tokens are for, and how long they live; the kubelet renews them.
  std::string token_audience = "byrnie";
  int token_seconds = 3600;
  // A ConfigMap of each meshed namespace, with the roots as bundle.pem.
  std::string trust_bundle_config_map = "byrnie-trust-bundle";
  // The agents' --cluster_id and --network.
  std::string cluster_id = "Kubernetes";
  std::string network;
  // Which control plane's injector it was: the label byrnie.io/rev of a pod.
  std::string revision = "default";
  // What becomes of pods that cannot be meshed: they start without Byrnie and a warning, or not.
  bool deny_refused = false;
  // Names of annotations without the prefix, "inject" among them, that a pod may not set: what they
  // are about is the mesh's to say. Whoever chooses the image chooses what runs with NET_ADMIN.
  std::vector<std::string> locked_annotations = {"image"};
  // Of annotations, by their names without the prefix: what holds where a pod says nothing.
  std::map<std::string, std::string> defaults;

  // Reads the JSON object {"image": …, "defaults": {"log-level": "debug"}, …} with the names above;
  // what it does not name is `base`'s. InvalidArgument names what is not known or cannot be.
  static absl::StatusOr<InjectorConfig> Parse(absl::string_view text, InjectorConfig base);
  static absl::StatusOr<InjectorConfig> Parse(absl::string_view text);

  // InvalidArgument, with the member and what to write instead, when a text could mean something
  // else in a container's arguments, or when no pod with it could start.
  absl::Status Check() const;
};

// InvalidArgument unless all can be names of Secrets, and are not too many.
absl::Status CheckPullSecrets(const std::vector<std::string>& names);

inline constexpr size_t kMaxPullSecrets = 16;
inline constexpr absl::string_view kBinaryDirectory = "/usr/local/bin";
inline constexpr size_t kMaxInjectorConfig = 64 * 1024;

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_INJECTOR_CONFIG_H_
