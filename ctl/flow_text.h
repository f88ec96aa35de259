#ifndef BYRNIE_CTL_FLOW_TEXT_H_
#define BYRNIE_CTL_FLOW_TEXT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "byrnie/operator/v1/flow.pb.h"
#include "common/flow/flow_groups.h"

namespace byrnie {

// What people read of connections that the mesh has seen. Pure; texts end with a newline.

std::string FlowTableText(const std::vector<FlowGroup>& groups, absl::Time now);

// The answers of several control planes as one: a flow that two of them have is there once; the
// numbers of what was looked at are sums.
byrnie::operator_::v1::DiffPoliciesResponse MergeDiffs(
    const std::vector<byrnie::operator_::v1::DiffPoliciesResponse>& answers);

// Whether a connection would be denied or allowed that is not now.
bool ChangesAnything(const byrnie::operator_::v1::DiffPoliciesResponse& diff);

std::string DiffText(const byrnie::operator_::v1::DiffPoliciesResponse& diff, absl::Time now);

// The suggestion so far, and that of a control plane which was given it.
byrnie::operator_::v1::SuggestPoliciesResponse MergeSuggestions(
    const byrnie::operator_::v1::SuggestPoliciesResponse& before,
    const byrnie::operator_::v1::SuggestPoliciesResponse& after);

// What to know about a suggestion for `ns`.
std::string SuggestionNotes(const byrnie::operator_::v1::SuggestPoliciesResponse& suggestion,
                            const std::string& ns);

}  // namespace byrnie

#endif  // BYRNIE_CTL_FLOW_TEXT_H_
