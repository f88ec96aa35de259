#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/json_writer.h"
#include "controlplane/registry/policy_names.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// Policies as operators write them: one JSON object, as in "policies" of a registry file.

inline constexpr size_t kMaxPolicyDocument = 256 * 1024;

// Reads one. InvalidArgument, with the field below "document", for anything that is not understood
// as a whole: unknown members, scopes and actions, empty matches, names that are none.
absl::StatusOr<istio::security::Authorization> ParsePolicyDocument(absl::string_view text);

// Writes one that is valid, in the order of the fields of istio.security.Authorization and without
// those that say nothing: reading it gives the same policy.
std::string WritePolicyDocument(const istio::security::Authorization& policy);

// What a policy has to be beyond its form, wherever it is written: that proxies take it. A policy
// that they reject would stop all updates of policies. InvalidArgument.
absl::Status CheckPolicy(const istio::security::Authorization& policy);

// Adds the members that ParsePolicyBody() reads to an object.
void WritePolicyBody(const istio::security::Authorization& policy, const PolicyNames& names,
                     JsonWriter* json);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_
