#ifndef BYRNIE_COMMON_POLICY_POLICY_CONVERSION_H_
#define BYRNIE_COMMON_POLICY_POLICY_CONVERSION_H_

#include "absl/status/statusor.h"
#include "common/policy/policy.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// Converts one policy as the control plane sent it. InvalidArgument names "namespace/name" and what
// is wrong:
//  - a field, at any depth, that this release does not know, or an unknown scope or action: a newer
//  control plane may
//    mean a restriction by it (CVE-2022-21679);
//  - no name; no namespace where the scope needs one; a '/' in the namespace, which would make keys
//  ambiguous;
//  - a StringMatch with nothing set, which as a not_ value would exclude nobody; an empty service
//  account;
//  - an address that is not 4 or 16 bytes, or a prefix longer than that; a port outside 1 to 65535.
absl::StatusOr<Policy> ConvertPolicy(const istio::security::Authorization& policy);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_POLICY_POLICY_CONVERSION_H_
