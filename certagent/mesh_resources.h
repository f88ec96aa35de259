#ifndef BYRNIE_CERTAGENT_MESH_RESOURCES_H_
#define BYRNIE_CERTAGENT_MESH_RESOURCES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "istio/security/authorization.pb.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// Resources of discovery as the agent passes them on: parsed once, shared, never changed.
using AddressPtr = std::shared_ptr<const istio::workload::Address>;
using PolicyPtr = std::shared_ptr<const istio::security::Authorization>;

// A complete set of policies.
struct PolicySet {
  // Grows with each change of this process; never 0.
  uint64_t epoch = 0;
  std::vector<PolicyPtr> policies;
};

// What became of a question for an address.
enum class ResolveResult {
  kFound,        // Known; whoever follows address updates has been told of it.
  kNotFound,     // The control plane knows that it is not in the mesh.
  kUnavailable,  // The control plane could not be asked in time.
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_MESH_RESOURCES_H_
