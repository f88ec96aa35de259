#ifndef BYRNIE_COMMON_HTTP2_PEER_END_H_
#define BYRNIE_COMMON_HTTP2_PEER_END_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

// The number with which the peer ended a stream (RST_STREAM) or the session (GOAWAY with an error):
// a mark on the status that the stream broke with, for whoever knows what such numbers mean. RFC
// 9113 section 7 has some of them, and lets anybody use others, which mean nothing to the rest. It
// stays recognisable wherever the status is copied.
struct PeerEnd {
  enum class Of { kStream, kSession };
  Of of = Of::kStream;
  uint32_t code = 0;
};

// Unavailable.
absl::Status PeerEndError(PeerEnd end, absl::string_view message);
// None: the peer did not end it, or without a number.
absl::optional<PeerEnd> PeerEndOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_PEER_END_H_
