#ifndef BYRNIE_PROXY_END_CODE_H_
#define BYRNIE_PROXY_END_CODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What a proxy tells the one at the other end of a tunnel when it ends an open connection: a number
// for its reason, as the error code of HTTP/2's RST_STREAM, because a CONNECT stream has no other
// place for it (RFC 9113 section 8.5 lets nothing but DATA follow the answer). Its first three
// bytes are "byr". Whoever does not know it takes it for an error like any other (section 7). The
// numbers are the protocol's: none is ever given another meaning
// (docs/decisions/0064-why-a-connection-was-ended.md).

// The code for `reason`, of the closed set of AccessRecord::reason; 0: there is none for it, and
// the reset is that of the connection itself.
uint32_t EndCodeOf(absl::string_view reason);

// The reason, of the closed set, for which the peer's proxy ended the stream or the whole tunnel
// that broke with `status`; empty: it gave none that is known.
absl::string_view PeerReasonOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_END_CODE_H_
