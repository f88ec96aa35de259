#ifndef BYRNIE_CTL_INSTALL_PREFLIGHT_H_
#define BYRNIE_CTL_INSTALL_PREFLIGHT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "ctl/check_result.h"
#include "ctl/install/called_services.h"
#include "ctl/install/cluster_api.h"
#include "ctl/install/installed_settings.h"
#include "ctl/install/privileges_policy.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What a cluster says of itself before Byrnie is installed into it, or after. What could not be
// asked has its error. Values.
struct ClusterFacts {
  std::string ns;
  // A control plane's store is on a volume.
  bool needs_volume = false;
  absl::StatusOr<Json> version = absl::UnknownError("not asked");
  // What whoever asks must not do and install or uninstall does: "create statefulsets.apps in
  // byrnie-system".
  absl::StatusOr<std::vector<std::string>> forbidden = absl::UnknownError("not asked");
  // Of what uninstall does to the policy for privileges.
  absl::StatusOr<std::vector<std::string>> forbidden_policy = absl::UnknownError("not asked");
  // Of what uninstall --purge does beyond that.
  absl::StatusOr<std::vector<std::string>> forbidden_purge = absl::UnknownError("not asked");
  absl::StatusOr<std::vector<Json>> webhooks = absl::UnknownError("not asked");
  CalledServices called_services;
  absl::StatusOr<std::vector<Json>> nodes = absl::UnknownError("not asked");
  absl::StatusOr<std::vector<Json>> namespaces = absl::UnknownError("not asked");
  absl::StatusOr<std::vector<Json>> network_policies = absl::UnknownError("not asked");
  // Services that bring strangers to a port that is declared for probes (FindExposedProbes).
  absl::StatusOr<std::vector<std::string>> exposed_probes = absl::UnknownError("not asked");
  absl::StatusOr<std::vector<Json>> storage_classes = absl::UnknownError("not asked");
  absl::StatusOr<std::vector<Json>> volume_claims = absl::UnknownError("not asked");
  // NotFound: there is none.
  absl::StatusOr<Json> stateful_set = absl::UnknownError("not asked");
  absl::StatusOr<Json> store_key = absl::UnknownError("not asked");
  absl::StatusOr<Json> role_binding = absl::UnknownError("not asked");
  absl::StatusOr<PrivilegesPolicyState> privileges_policy = absl::UnknownError("not asked");
  // Those that are named for the control plane or the sidecars and are not where pods need them,
  // "shop/regcred"; absent: none is named.
  absl::optional<absl::StatusOr<std::vector<std::string>>> missing_pull_secrets;
  // Of the nodes that UnfitNodes() names, those that have a meshed pod.
  absl::StatusOr<std::vector<std::string>> meshed_on = absl::UnknownError("not asked");
  // What became of a pod that was tried, and not made, in a meshed namespace; absent: nobody would
  // be asked about it.
  absl::optional<absl::StatusOr<Json>> tried_pod;
  std::string tried_namespace;
  // What install would make of its flags and of what is there.
  absl::StatusOr<SettingsPlan> settings = absl::UnknownError("not asked");
};

// Asks a cluster, for all but `missing_pull_secrets`, `meshed_on` and `settings`. `objects` are
// what install would apply. An error only when nobody answers, or whoever asks is not known there.
absl::StatusOr<ClusterFacts> GatherClusterFacts(ClusterApi* cluster, ResourceTypes* types,
                                                const std::string& ns,
                                                const std::vector<Json>& objects);

// Nodes on which no meshed pod could run: their kernel, kubelet or architecture is not for it.
// Pure.
std::vector<std::string> UnfitNodes(const ClusterFacts& facts);

// Looks for meshed pods on unfit nodes, once `facts->settings` is known.
void LookForPodsOnUnfitNodes(ClusterApi* cluster, ClusterFacts* facts);

// Looks for the Secrets that `facts->settings` names for pulling.
void LookForPullSecrets(ClusterApi* cluster, ClusterFacts* facts);

// Looks at everything, in a fixed order. Pure.
std::vector<CheckResult> CheckCluster(const ClusterFacts& facts);

// Whether pods made in a namespace get a sidecar.
bool IsMeshedNamespace(const Json& ns);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_PREFLIGHT_H_
