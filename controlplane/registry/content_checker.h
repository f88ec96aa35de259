#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_

#include <string>

#include "absl/status/status.h"
#include "controlplane/registry/content.h"

namespace byrnie {

// "namespace/hostname".
std::string ServiceKey(const istio::workload::Service& service);
// "namespace/name".
std::string PolicyKey(const istio::security::Authorization& policy);
// "network/ip", as discovery's on-demand names have it; `address` is 4 or 16 bytes.
std::string AddressKey(const std::string& network, const std::string& address);

// Everything RegistrySnapshot::Create refuses; its errors.
absl::Status CheckRegistryContent(const RegistryContent& content);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_
