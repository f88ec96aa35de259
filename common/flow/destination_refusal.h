#ifndef BYRNIE_COMMON_FLOW_DESTINATION_REFUSAL_H_
#define BYRNIE_COMMON_FLOW_DESTINATION_REFUSAL_H_

#include "absl/strings/string_view.h"

namespace byrnie {

// Whether the reason that a source's proxy gives for a denied connection says that the
// destination's has refused it: that one reports it as well, and knows why. Reasons are the access
// log's.
inline bool IsDestinationRefusal(absl::string_view reason) {
  return reason == "tunnel-refused" || reason == "refused-by-peer";
}

}  // namespace byrnie

#endif  // BYRNIE_COMMON_FLOW_DESTINATION_REFUSAL_H_
