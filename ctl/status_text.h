#ifndef BYRNIE_CTL_STATUS_TEXT_H_
#define BYRNIE_CTL_STATUS_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "ctl/fleet.h"

namespace byrnie {

// The status of a control plane as a person reads it: a few facts, then one aligned row per agent.
// Ends with a newline.
std::string StatusText(const byrnie::operator_::v1::GetStatusResponse& status,
                       absl::string_view target, absl::Time now);

// The same of several control planes that share a store: what they have in common as the first of
// them says it, a row for each, those that have not answered too, and the agents of all.
std::string FleetStatusText(const FleetAnswers<byrnie::operator_::v1::GetStatusResponse>& fleet,
                            absl::Time now);

// The message of the first that has answered as MessageJson() writes it, but with the agents of
// all; and "control_planes", one object for each that was asked: its "address", whether it has
// "answered", and its message without the agents, or the "error". Ends with a newline.
std::string FleetStatusJson(const FleetAnswers<byrnie::operator_::v1::GetStatusResponse>& fleet);

// "certificate-revoked".
std::string TroubleText(byrnie::operator_::v1::Agent::Trouble trouble);

// "viewer", "operator", "admin".
std::string RoleText(byrnie::operator_::v1::Role role);

}  // namespace byrnie

#endif  // BYRNIE_CTL_STATUS_TEXT_H_
