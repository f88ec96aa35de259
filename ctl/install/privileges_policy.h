#ifndef BYRNIE_CTL_INSTALL_PRIVILEGES_POLICY_H_
#define BYRNIE_CTL_INSTALL_PRIVILEGES_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ctl/install/cluster_api.h"
#include "deploy/injector/json.h"

namespace byrnie {

// The policy of deploy/kubernetes/privileges, which whoever wants it applies: no overlay has it,
// and it has no label of install's. Its parameter is the injector's configuration; where that is
// gone it refuses every pod of meshed namespaces, and every change of one.
inline constexpr absl::string_view kPrivilegesPolicy = "byrnie-privileges";

struct PolicyObject {
  ResourceType type;
  Json object;
};

// What is there of it, what puts it in force first. None where the API server is too old for such
// policies. The errors of calls, which say what was looked for.
absl::StatusOr<std::vector<PolicyObject>> FindPrivilegesPolicy(ClusterApi* cluster,
                                                               ResourceTypes* types);

// The kinds of FindPrivilegesPolicy() that the API server knows; the errors of calls.
absl::StatusOr<std::vector<ResourceType>> PrivilegesPolicyTypes(ResourceTypes* types);

struct PrivilegesPolicyState {
  bool in_force = false;
  // "byrnie-system/byrnie-injector", where it is in force and that is missing; else "".
  std::string missing_parameter = {};
  // The image beside the one of the injector's configuration that it lets in, as that ConfigMap of
  // the namespace has it; "" for none.
  std::string previous_image = {}, ns = {};
};

// What whoever may takes it away with.
inline constexpr absl::string_view kDeletePrivilegesPolicy =
    "kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy byrnie-privileges";

// Looks whether it is in force and has its parameter. The errors of calls.
absl::StatusOr<PrivilegesPolicyState> LookAtPrivilegesPolicy(ClusterApi* cluster,
                                                             ResourceTypes* types);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_PRIVILEGES_POLICY_H_
