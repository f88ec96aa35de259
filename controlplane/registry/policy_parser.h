#ifndef BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "controlplane/registry/policy_names.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// Reads one entry of "policies" of a registry file. InvalidArgument names the place, as
// common/base/json.h does. "action" and "scope" have no default: leaving one out must not decide
// who gets in.
absl::StatusOr<istio::security::Authorization> ParsePolicy(const JsonValue& value);

// The part of it that says for whom a policy is and what it does: "scope", "action", "dry_run" and
// "rules", with members called as `names` says. What else is in `object` is the caller's.
absl::Status ParsePolicyBody(const JsonObject& object, const PolicyNames& names,
                             istio::security::Authorization* policy);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_
