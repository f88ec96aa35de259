#ifndef BYRNIE_DEPLOY_INJECTOR_SIDECAR_CONTAINERS_H_
#define BYRNIE_DEPLOY_INJECTOR_SIDECAR_CONTAINERS_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"

namespace byrnie {

inline constexpr absl::string_view kAgentName = "byrnie-agent";
inline constexpr absl::string_view kProxyName = "byrnie-proxy";
inline constexpr absl::string_view kRedirectName = "byrnie-redirect";
inline constexpr absl::string_view kWatchName = "byrnie-watch";
inline constexpr absl::string_view kFinishName = "byrnie-finish";
inline constexpr absl::string_view kLinkVolume = "byrnie-link";
inline constexpr absl::string_view kTokenVolume = "byrnie-token";
inline constexpr absl::string_view kTrustVolume = "byrnie-trust";
inline constexpr absl::string_view kNothingVolume = "byrnie-nothing";

std::set<std::string> SidecarNames();
std::set<std::string> SidecarVolumes();

// What is added to a pod. A value.
struct SidecarContainers {
  Json agent, proxy, redirect;
  // Keeps the redirect's rules in place; null where the pod does not ask for it.
  Json watch;
  // Copies byrnie-finish into its volume; null where the pod needs none, see finish.h.
  Json finish;
  std::vector<Json> volumes;
  bool native = true;
  // Of what they are made of but for the rest of the pod: the same where nobody has said anything
  // else, and this is the same release of the injector.
  std::string digest;
  std::vector<std::string> warnings;

  // For a pod whose spec, without them, is `spec`; `app_probes` are those that the proxy makes, see
  // probe_rewrite.h. InvalidArgument names an annotation that does not go with the pod.
  static absl::StatusOr<SidecarContainers> Create(const InjectorConfig& config,
                                                  PodSettings settings, const Json& app_probes,
                                                  const Json& spec);
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_SIDECAR_CONTAINERS_H_
