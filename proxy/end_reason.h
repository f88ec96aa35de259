#ifndef BYRNIE_PROXY_END_REASON_H_
#define BYRNIE_PROXY_END_REASON_H_

#include "absl/strings/string_view.h"

namespace byrnie {

// Reasons of AccessRecord::reason that no other header of this folder names.
namespace end_reason {
// The trust bundles changed, and the peer's identity is not proven by what is left of them.
inline constexpr absl::string_view kTrustRemoved = "trust-removed";
}  // namespace end_reason

}  // namespace byrnie

#endif  // BYRNIE_PROXY_END_REASON_H_
