#ifndef BYRNIE_CONTROLPLANE_FLAGS_H_
#define BYRNIE_CONTROLPLANE_FLAGS_H_

#include "absl/status/statusor.h"
#include "common/telemetry/log.h"
#include "controlplane/control_plane_options.h"

namespace byrnie {

struct ControlPlaneFlags {
  ControlPlaneOptions options;
  LogLevel log_level;
  Logger::Format log_format;
};

// The flags as they were set, checked. InvalidArgument names the flag and what it takes.
absl::StatusOr<ControlPlaneFlags> ReadControlPlaneFlags();

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLAGS_H_
