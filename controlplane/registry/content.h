#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_

#include <vector>

#include "istio/security/authorization.pb.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// What a source of the registry (a file, Kubernetes) says, not yet checked. The order is the
// source's: errors name the index.
struct RegistryContent {
  std::vector<istio::workload::Workload> workloads;
  std::vector<istio::workload::Service> services;
  std::vector<istio::security::Authorization> policies;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_
