#ifndef BYRNIE_CTL_STATUS_TEXT_H_
#define BYRNIE_CTL_STATUS_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"

namespace byrnie {

// The status of a control plane as a person reads it: a few facts, then one aligned row per agent.
// Ends with a newline.
std::string StatusText(const byrnie::operator_::v1::GetStatusResponse& status,
                       absl::string_view target, absl::Time now);

// The same as JSON for scripts: the names of the message's fields, times as RFC 3339 text. Ends
// with a newline.
std::string StatusJson(const byrnie::operator_::v1::GetStatusResponse& status);

// "certificate-revoked".
std::string TroubleText(byrnie::operator_::v1::Agent::Trouble trouble);

// "viewer", "operator", "admin".
std::string RoleText(byrnie::operator_::v1::Role role);

}  // namespace byrnie

#endif  // BYRNIE_CTL_STATUS_TEXT_H_
