#ifndef BYRNIE_CTL_INSTALL_INSTALLED_SETTINGS_H_
#define BYRNIE_CTL_INSTALL_INSTALLED_SETTINGS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ctl/install/cluster_api.h"
#include "ctl/install/control_plane_size.h"
#include "ctl/install/install_settings.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Of the store's key: the trust domain whose CA is in the store. It outlives the control plane's
// own objects, as the store does.
inline constexpr char kTrustDomainAnnotation[] = "byrnie.io/trust-domain";

// What the objects of an installation say. What they do not say is empty. A value.
struct InstalledSettings {
  // Of the control plane.
  std::string image;
  std::vector<std::string> image_pull_secrets;
  std::string trust_domain;
  // "sqlite" or "etcd", by the control plane's --store, and then the servers.
  std::string overlay, etcd;
  // The injector's configuration, a JSON object.
  std::string injector_config;
  // Of the nodes that the control plane may run on.
  std::string architecture;
  // Nothing of it is empty where there is a control plane, but of a volume that it has not.
  ControlPlaneSize size = {};
};

// The namespace that Byrnie is installed in; "" where it is in none. The errors of calls.
absl::StatusOr<std::string> FindInstalledNamespace(ClusterApi* cluster);

// What is installed in `ns`. The errors of calls; what is not there is no error.
absl::StatusOr<InstalledSettings> FindInstalledSettings(ClusterApi* cluster, const std::string& ns);

// What whoever installs has asked for.
struct AskedSettings {
  InstallSettings settings;
  // False: settings.trust_domain is a default that gives way.
  bool trust_domain_given = false;
  // "": none was given.
  std::string overlay;
  // --manifests: the directory says what else would be taken from what is installed, and may have
  // overlays of other names.
  bool own_manifests = false;
};

// What install does with both. A value.
struct SettingsPlan {
  // FailedPrecondition: the installation cannot become what was asked for; `remedy` says what can
  // be done instead.
  absl::Status refused;
  std::string remedy;
  std::string overlay;
  InstallSettings settings;
  // For people: "trust domain corp.example"; "image a -> b".
  std::vector<std::string> kept, changed;
  // Which sidecars the injector's configuration that is installed makes, "native" or "classic"; ""
  // where none is that is understood.
  std::string installed_sidecars = {};
};

// What was asked for, and where nothing was, what is installed. Another trust domain is refused,
// for the store holds the CA of one, and so is another store or another volume for it. Pure.
SettingsPlan PlanSettings(const AskedSettings& asked, const InstalledSettings& installed);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_INSTALLED_SETTINGS_H_
