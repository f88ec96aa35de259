#ifndef BYRNIE_COMMON_TLS_SESSION_FAULT_H_
#define BYRNIE_COMMON_TLS_SESSION_FAULT_H_

#include "absl/status/status.h"

namespace byrnie {

// A mark on the status that an open TLS session broke with, for whoever counts and logs it: what
// the peer, or somebody on the way to it, did. It stays recognisable wherever the status is copied.
enum class SessionFault {
  kNone,
  kProtocol,   // A record that the peer has not sealed, or one that breaks the rules of TLS.
  kFlood,      // It kept them and sent too much of what costs only the other end.
  kTruncated,  // The connection ended, and the peer had not said that it would (close_notify).
};

absl::Status WithSessionFault(absl::Status status, SessionFault fault);
SessionFault SessionFaultOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_SESSION_FAULT_H_
