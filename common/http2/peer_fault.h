#ifndef BYRNIE_COMMON_HTTP2_PEER_FAULT_H_
#define BYRNIE_COMMON_HTTP2_PEER_FAULT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// A mark on the status a session ends with, for whoever counts and logs it: what the peer did that
// no honest one does. It stays recognisable wherever the status is copied.
enum class PeerFault {
  kNone,
  kProtocol,  // It broke the rules of HTTP/2.
  kFlood,     // It kept them and did too much of what costs only the other end.
};

// Unavailable.
absl::Status PeerFaultError(PeerFault fault, absl::string_view message);
PeerFault PeerFaultOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_PEER_FAULT_H_
