#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_DOCUMENT_H_
