#ifndef BYRNIE_CTL_INSTALL_INSTALLER_H_
#define BYRNIE_CTL_INSTALL_INSTALLER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "ctl/install/cluster_api.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What became of one object.
struct InstallStep {
  enum class Outcome { kCreated, kChanged, kUnchanged, kDeleted, kKept };
  Outcome outcome = Outcome::kUnchanged;
  std::string kind, ns, name;
  // Of kChanged, the places that are another way now, "spec/replicas: 1 -> 3"; of kKept, why.
  std::vector<std::string> details;
};

// What has become of an object of a cluster.
InstallStep StepFor(const Json& object, InstallStep::Outcome outcome);

// "created"; when nothing is really done "would be created".
std::string OutcomeName(InstallStep::Outcome outcome, bool dry_run);

using OnInstallStep = std::function<void(const InstallStep&)>;

struct InstallOptions {
  // Asks the API server what would become of it, and changes nothing.
  bool dry_run = false;
  // Takes over what somebody else has set.
  bool force = false;
  // Whose CA is in the store: it is kept with the store's key where one is made. Empty: it is not.
  std::string trust_domain;
  // By which it is judged what control planes have heard of.
  absl::Time now = absl::InfiniteFuture();
};

// How long after a change each kubelet has brought its control plane the injector's configuration,
// with room to spare: it looks once a minute, and what it looks at may be a minute old.
inline constexpr absl::Duration kKubeletsBringIt = absl::Minutes(3);

// Puts objects into a cluster by server-side apply as "byrniectl", in their order, and takes away
// what an earlier installation had of the same kinds and these have no more. Again it changes
// nothing. The store's key is made, of 32 random bytes, where there is none.
//
// Where a control plane makes pods already the injector's configuration, which has the image of
// their sidecars, is the last: Run() does all else, and Finish() does that, so that whoever waits
// for the control plane can do it between, and no pod gets sidecars of a release whose control
// plane does not run. Until new pods get the new image the configuration also names the one before,
// kPreviousImageKey: what an installation finds of it, it leaves, until ForgetPreviousImage().
//
// Run() fails before the first change with FailedPrecondition when Byrnie is installed in another
// namespace, or a Secret that a pod needs is missing, and with what the API server says when it
// refuses any of the objects (AlreadyExists: somebody else has set a field to another value): it is
// asked about all of them first, without a change (dryRun), as far as they can be tried before what
// they need is there. Both can fail amid it, and can be called again.
class Installer {
 public:
  // The pointers outlive it. `objects` are ordered and labelled by ApplyInstallSettings(); `known`
  // are all that install might ever have made, of which kinds are looked for.
  Installer(ClusterApi* cluster, ResourceTypes* types, InstallOptions options, OnInstallStep tell)
      : cluster_(cluster), types_(types), options_(options), tell_(std::move(tell)) {}

  absl::Status Run(const std::string& ns, std::vector<Json> objects, std::vector<Json> known);
  // Whether Run() has left the injector's configuration to Finish().
  bool holds_back() const { return held_back_.has_value(); }
  // The image that new pods' redirect may have beside the one installed; "": none.
  const std::string& previous_image() const { return previous_image_; }
  // Of several a pod that was tried shows what one of them makes.
  bool several_control_planes() const { return several_control_planes_; }
  // The rest, after a Run() that was good.
  absl::Status Finish();
  // Takes the image before out of the injector's configuration, whoever has written it, after
  // Finish() and once new pods get the other. Of several control planes who has answered is not
  // known: there it is left to an installation that comes kKubeletsBringIt after it was written.
  absl::Status ForgetPreviousImage();
  // Whether something has changed, or would.
  bool changed() const { return changed_; }

 private:
  absl::Status CheckNamespace(const std::string& ns, const std::vector<Json>& objects);
  absl::Status CheckSecrets(const std::vector<Json>& objects);
  // Asks what would become of all of them. The first refusal.
  absl::Status Try(const std::string& ns, const std::vector<Json>& objects);
  absl::Status TryStoreKey(const std::string& ns);
  // Whether Finish() is to apply an object.
  absl::StatusOr<bool> IsLast(Json object);
  absl::StatusOr<Json> Patch(const ResourceType& type, const Json& object, bool dry_run);
  absl::Status Apply(Json object);
  absl::Status MakeStoreKey(const std::string& ns);
  Json StoreKey(const std::string& ns) const;
  absl::Status Prune();
  void Tell(InstallStep step);

  ClusterApi* const cluster_;   // Not owned.
  ResourceTypes* const types_;  // Not owned.
  const InstallOptions options_;
  const OnInstallStep tell_;
  std::vector<Json> objects_, known_;
  absl::optional<Json> held_back_;
  // Beside what is held back; "" for none.
  std::string previous_image_;
  // When it was written.
  absl::Time previous_image_since_ = absl::InfinitePast();
  bool several_control_planes_ = false;
  bool changed_ = false;
  // It is only to be made, so that nothing can be tried in it.
  bool namespace_missing_ = false;
};

// The type of an object, or of the older version of its API that says the same; NotFound.
absl::StatusOr<ResourceType> TypeOf(ResourceTypes* types, Json* object);

// How far the control plane of `ns` is: "" when all its pods run what was applied last and the
// webhook has its caBundle; else what is waited for, for people. The errors of calls.
absl::StatusOr<std::string> WhatIsAwaited(ClusterApi* cluster, const std::string& ns);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_INSTALLER_H_
