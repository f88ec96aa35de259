#ifndef BYRNIE_CONTROLPLANE_OWN_FILES_H_
#define BYRNIE_CONTROLPLANE_OWN_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controlplane/control_plane_options.h"

namespace byrnie {

// Whether each file that the control plane writes is its own: no other file that a flag names,
// however the two paths are written, and, where it is there already, one that an earlier process
// may have written. `jwk_files` are those that the file of --jwt_config names. Only looks.
// InvalidArgument names both flags, or what is there, and what to do; an output that cannot be read
// gives the errors of ReadFile.
absl::Status CheckOwnFiles(const ControlPlaneOptions& options,
                           const std::vector<std::string>& jwk_files);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OWN_FILES_H_
