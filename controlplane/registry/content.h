#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_

#include <cstdint>
#include <vector>

#include "istio/security/authorization.pb.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// Who says what is in the registry.
enum class RegistrySource : uint8_t {
  kFile,        // --registry=static:FILE.
  kApi,         // byrnie.operator.v1: policies.
  kApiEntries,  // byrnie.operator.v1: workloads and services.
  kKubernetes,  // The objects of a cluster.
};

// What a source of the registry (a file, Kubernetes) says, not yet checked. The order is the
// source's: errors name the index.
struct RegistryContent {
  std::vector<istio::workload::Workload> workloads;
  std::vector<istio::workload::Service> services;
  std::vector<istio::security::Authorization> policies;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_H_
