#ifndef BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "istio/security/authorization.pb.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// "namespace/hostname".
std::string ServiceKey(const istio::workload::Service& service);
// "namespace/name".
std::string PolicyKey(const istio::security::Authorization& policy);
// "network/ip", as discovery's on-demand names have it; `address` is 4 or 16 bytes.
std::string AddressKey(const std::string& network, const std::string& address);

// What can be wrong with an entry by itself: a name that makes no SPIFFE ID, an address nobody can
// reach, a port twice, an empty match. InvalidArgument says it, with the remedy. What entries say
// about each other is ChangeChecker's.
absl::Status CheckEntry(const istio::workload::Workload& workload);
absl::Status CheckEntry(const istio::workload::Service& service);
absl::Status CheckEntry(const istio::security::Authorization& policy);

// The member of a registry file that has entries of this kind: "workloads".
absl::string_view EntriesName(const istio::workload::Workload&);
absl::string_view EntriesName(const istio::workload::Service&);
absl::string_view EntriesName(const istio::security::Authorization&);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_CONTENT_CHECKER_H_
