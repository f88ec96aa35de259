#ifndef BYRNIE_CONTROLPLANE_SHARED_SETTINGS_H_
#define BYRNIE_CONTROLPLANE_SHARED_SETTINGS_H_

#include <string>

#include "common/identity/trust_bundle.h"
#include "controlplane/control_plane_options.h"
#include "controlplane/trust/setting_digests.h"

namespace byrnie {

// What is in force of the files that flags name: they may change at any time.
struct SettingContents {
  // Digests of what they say; empty: there are none.
  std::string jwt_config, injector_config;
  // Not owned; null: none.
  const TrustBundleSet* bundles = nullptr;
};

// Of all that must not depend on which of several control planes over one store an agent or an
// operator has reached: whose credentials are taken, who is an operator, whom agents trust, what
// certificates are like, how long the log of all goes back, what the cluster is taken for. Not of
// what is each one's own: addresses, names, files that it writes, how much it takes on.
SettingDigests DigestSettings(const ControlPlaneOptions& options, const SettingContents& contents);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SHARED_SETTINGS_H_
