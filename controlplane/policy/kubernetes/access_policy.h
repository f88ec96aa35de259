#ifndef BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_H_
#define BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/json.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What the spec of an AccessPolicy says: a policy, and whom it is about.
struct AccessPolicySpec {
  istio::security::Authorization policy;
  // Of scope WORKLOAD_SELECTOR: the pods of its namespace that have all of these; else empty.
  Labels selector;
};

// What the control plane has written, or is to write, below "status".
struct AccessPolicyStatus {
  // The condition "Accepted".
  bool accepted = false;
  std::string reason, message;
  // The generation that this is about.
  int64_t observed_generation = 0;
  // The spec that was accepted last, as WriteAccessPolicySpec() writes it, and its generation; 0:
  // none was.
  int64_t accepted_generation = 0;
  std::string accepted_spec;
};
bool operator==(const AccessPolicyStatus& a, const AccessPolicyStatus& b);

// An AccessPolicy (accesspolicies.byrnie.io) of a cluster. A value. It can always be read, whatever
// its spec is: an object that is refused is there nevertheless.
struct AccessPolicy {
  ObjectName name;
  std::string uid;
  std::string resource_version;
  int64_t generation = 0;
  absl::StatusOr<AccessPolicySpec> spec = absl::UnknownError("not read");
  // Absent: nobody has written one that is understood.
  absl::optional<AccessPolicyStatus> status;
  // When its condition changed last, as it is written there.
  std::string since;

  // The server's word for it: of one object, each version is of one content.
  friend bool operator==(const AccessPolicy& a, const AccessPolicy& b) {
    return a.name == b.name && a.uid == b.uid && a.resource_version == b.resource_version;
  }
};

// Policies of scope GLOBAL may be in `root_namespace` alone. InvalidArgument: it has no name, uid,
// version or generation, which no API server sends.
absl::StatusOr<AccessPolicy> ParseAccessPolicy(const JsonValue& value,
                                               absl::string_view root_namespace);

// The spec of a policy of this name, checked as policies are that are applied through the API.
// InvalidArgument says where and what.
absl::StatusOr<AccessPolicySpec> ParseAccessPolicySpec(const JsonValue& spec,
                                                       const ObjectName& name,
                                                       absl::string_view root_namespace);

// Writes one that is valid, in one line and always the same for the same content: reading it gives
// the same spec.
std::string WriteAccessPolicySpec(const AccessPolicySpec& spec);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_H_
