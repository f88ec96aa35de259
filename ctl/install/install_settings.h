#ifndef BYRNIE_CTL_INSTALL_INSTALL_SETTINGS_H_
#define BYRNIE_CTL_INSTALL_INSTALL_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ctl/install/control_plane_size.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Every object that `install` makes has these labels; `uninstall` takes away what has them.
inline constexpr absl::string_view kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr absl::string_view kPartOfLabel = "app.kubernetes.io/part-of";
inline constexpr absl::string_view kInstallSelector =
    "app.kubernetes.io/managed-by=byrniectl,app.kubernetes.io/part-of=byrnie";
// The control plane's pods, and the claims of their volumes.
inline constexpr absl::string_view kControlPlaneSelector =
    "app.kubernetes.io/name=byrnie-controlplane";
// Of the manifests.
inline constexpr absl::string_view kDefaultNamespace = "byrnie-system";
inline constexpr absl::string_view kStoreKeySecret = "byrnie-store-key";
inline constexpr absl::string_view kInjectorConfigMap = "byrnie-injector";
inline constexpr absl::string_view kInjectorKey = "injector.json";
// Beside it, while an upgrade is under way: the image that sidecars were made of before. A control
// plane goes on with what it has read until its kubelet brings it the other, and the policy for
// privileges (deploy/kubernetes/privileges) lets both in.
inline constexpr absl::string_view kPreviousImageKey = "previous-image";

// As Kubernetes calls the processor that this program is made for, "amd64": the image is for the
// same, unless somebody says otherwise.
absl::string_view OwnArchitecture();
// Of nodes, and of what selects them.
inline constexpr absl::string_view kArchitectureLabel = "kubernetes.io/arch";

// What is to be another way than the manifests have it. A value.
struct InstallSettings {
  std::string ns = std::string(kDefaultNamespace);
  // Of the control plane and of the sidecars; empty: the manifests'.
  std::string image;
  std::string trust_domain = "cluster.local";
  // Of etcd, https://HOST:PORT,...; empty: the manifests'.
  std::string etcd;
  // The injector's configuration, a JSON object, instead of the manifests'; empty: the manifests'.
  std::string injector_config;
  // Of the injector's configuration; empty: its own.
  std::string revision, sidecars;
  // What the control plane has already: its own, and that of sidecars of which nothing else says,
  // where `image` is empty.
  std::string installed_image;
  // Secrets by which the nodes get the image: of the control plane and, where they were asked for,
  // of the sidecars, of which the injector's configuration says it otherwise.
  std::vector<std::string> image_pull_secrets = {};
  bool pull_secrets_given = false;
  ControlPlaneSize size = {};
  // Of the image, as kArchitectureLabel has it; empty: OwnArchitecture().
  std::string architecture = {};

  absl::string_view ImageArchitecture() const {
    return architecture.empty() ? OwnArchitecture() : architecture;
  }
};

// InvalidArgument, "--flag: what", for a namespace, image, architecture, size or etcd that cannot
// be one.
absl::Status CheckInstallSettings(const InstallSettings& settings);

// Changes rendered manifests so that they say what `settings` do, labels them, and puts them into
// the order in which they are to be applied: the namespace first, what asks about pods last.
// InvalidArgument when a setting has nothing in the manifests to go to, or makes an injector's
// configuration that the injector would refuse.
absl::Status ApplyInstallSettings(const InstallSettings& settings, std::vector<Json>* objects);

// Changes what is known from a minor version of the API server on: a control plane that is sick
// keeps no node from being drained.
void ApplyServerVersion(int minor, std::vector<Json>* objects);

// Whether an object is the ConfigMap with the injector's configuration.
bool IsInjectorConfig(const Json& object);
// What sidecars are made of by the injector's configuration of an object that is one; "" where that
// is not understood.
std::string SidecarsImageIn(const Json& object);
// The same of a configuration that is.
std::string SidecarsImage(const InjectorConfig& config);
// Which sidecars the text of an injector's configuration says; "" where it leaves it to the
// default, or is not understood.
std::string SidecarsIn(absl::string_view injector_config);
// What kubectl does to take kPreviousImageKey out.
std::string ForgetPreviousImageByHand(absl::string_view ns);

// InvalidArgument for an injector's configuration with which a control plane that is installed
// would not start.
absl::Status CheckInstalledInjectorConfig(const std::string& text);

// Labels an object as ours.
void LabelAsInstalled(Json* object);

// Where an object stands in the order of applying; it goes in the opposite order.
int InstallRank(const Json& object);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_INSTALL_SETTINGS_H_
