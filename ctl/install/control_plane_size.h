#ifndef BYRNIE_CTL_INSTALL_CONTROL_PLANE_SIZE_H_
#define BYRNIE_CTL_INSTALL_CONTROL_PLANE_SIZE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Of a request or limit that is not to be there.
inline constexpr absl::string_view kNoQuantity = "none";

// How much of a node a control plane gets, and of what its store's volume is. Quantities are as
// Kubernetes writes them; what is empty is the manifests'. A value.
struct ControlPlaneSize {
  // Or kNoQuantity.
  std::string memory_limit, memory_request, cpu_request;
  std::string volume_size, storage_class;

  bool OfVolume() const { return !volume_size.empty() || !storage_class.empty(); }
};

// Whether both say the same: "1Gi" and "1024Mi" do.
bool SameQuantity(absl::string_view a, absl::string_view b);

// InvalidArgument, "--memory_limit: what", for what is no quantity or no StorageClass's name.
absl::Status CheckControlPlaneSize(const ControlPlaneSize& size);

// Puts it into the StatefulSet. InvalidArgument where it has no volume that `size` could be about,
// or would request more memory than its limit.
absl::Status SetControlPlaneSize(const ControlPlaneSize& size, Json* stateful_set);

// What a StatefulSet says: all is empty where it has no control plane, and what its volume is where
// it has none.
ControlPlaneSize ReadControlPlaneSize(const Json& stateful_set);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_CONTROL_PLANE_SIZE_H_
