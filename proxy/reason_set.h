#ifndef BYRNIE_PROXY_REASON_SET_H_
#define BYRNIE_PROXY_REASON_SET_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace byrnie {

// The closed set of AccessRecord::reason, of the `reason` label of metrics and of what a proxy
// tells its peer: all of access_reason, end_reason and tunnel_reason, and those of decision_reason
// and route_reason that do not let a connection go on. A reason that is not in it does not exist
// for those who look: docs/operations.md says of each one here what to do about it, and a test
// holds the headers, this list and that page together.
absl::Span<const absl::string_view> AllReasons();

// The position in AllReasons() of `reason`, of which what follows a space (a policy's key) is cut
// off; that of access_reason::kInternal for one that is not in the set.
size_t ReasonIndex(absl::string_view reason);

// The member of the set that `text` is, to the letter; empty when it is none. For what a peer says.
absl::string_view KnownReason(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_REASON_SET_H_
