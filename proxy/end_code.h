#ifndef BYRNIE_PROXY_END_CODE_H_
#define BYRNIE_PROXY_END_CODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What a proxy tells the one at the other end when it ends an open connection: an EndCode. Through
// a tunnel it is the error code of HTTP/2's RST_STREAM, because a CONNECT stream has no other place
// for it (RFC 9113 section 8.5 lets nothing but DATA follow the answer); by direct mTLS an alert of
// TLS, where one means the same.

// The code for `reason`, of the closed set of AccessRecord::reason; 0: there is none for it, and
// the reset is that of the connection itself.
uint32_t EndCodeOf(absl::string_view reason);

// The reason, of the closed set, for which the peer's proxy ended the stream, the whole tunnel or
// the TLS connection that broke with `status`; empty: it gave none that is known.
absl::string_view PeerReasonOf(const absl::Status& status);

// Whether that reason is that the connection is not allowed any more: what is on its way in it is
// not to be delivered.
bool PeerForbids(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_END_CODE_H_
