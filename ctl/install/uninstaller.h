#ifndef BYRNIE_CTL_INSTALL_UNINSTALLER_H_
#define BYRNIE_CTL_INSTALL_UNINSTALLER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ctl/install/cluster_api.h"
#include "ctl/install/installer.h"
#include "deploy/injector/json.h"

namespace byrnie {

struct UninstallOptions {
  bool dry_run = false;
  // Also while pods have our sidecar.
  bool force = false;
  // Also what cannot be made again: the CA's key and store, policies, published roots, and the
  // namespace if install made it.
  bool purge = false;
};

// Takes away what install made: what has its labels, and the policy for privileges. First that and
// what asks about new pods, so that nobody waits for a control plane that is gone, and no pod is
// refused for want of its configuration; then the rest, in the opposite order of its making.
//
// Where that policy may not be looked at, it is told as kept, with what takes it away, before the
// first change.
//
// What stays in namespaces that are or were meshed is told as kept: the published roots, and labels
// that are not Byrnie's to judge.
//
// FailedPrecondition, before the first change, names pods that have our sidecar.
class Uninstaller {
 public:
  // The pointers outlive it.
  Uninstaller(ClusterApi* cluster, ResourceTypes* types, UninstallOptions options,
              OnInstallStep tell)
      : cluster_(cluster), types_(types), options_(options), tell_(std::move(tell)) {}

  // `known` are all that install might have made, of which kinds are looked for.
  absl::Status Run(const std::vector<Json>& known);
  // Whether there was anything of ours.
  bool found() const { return found_; }

 private:
  struct Item {
    ResourceType type;
    Json object;
  };
  absl::Status CheckNoMeshedPods();
  absl::StatusOr<std::vector<Item>> FindOurs(const std::vector<Json>& known);
  // What the control plane and its controller made: claims of `namespaces`, and `bundles`.
  absl::Status Purge(const std::vector<std::string>& namespaces, const std::vector<Json>& bundles);
  // The published roots, of all namespaces.
  absl::StatusOr<std::vector<Json>> FindBundles();
  absl::Status TellWhatStays(const std::vector<Json>& bundles);
  void TellOfUnknownPolicy(const absl::Status& why);
  absl::Status Delete(const ResourceType& type, const Json& object);
  void Keep(const Json& object, std::string why);

  ClusterApi* const cluster_;   // Not owned.
  ResourceTypes* const types_;  // Not owned.
  const UninstallOptions options_;
  const OnInstallStep tell_;
  bool found_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_UNINSTALLER_H_
