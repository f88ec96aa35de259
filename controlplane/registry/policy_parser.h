#ifndef BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// Reads one entry of "policies" of a registry file. InvalidArgument names the place, as
// common/base/json.h does. "action" and "scope" have no default: leaving one out must not decide
// who gets in.
absl::StatusOr<istio::security::Authorization> ParsePolicy(const JsonValue& value);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_POLICY_PARSER_H_
