#ifndef BYRNIE_PROXY_CONNECT_REFUSAL_H_
#define BYRNIE_PROXY_CONNECT_REFUSAL_H_

#include <string>

#include "absl/status/status.h"
#include "common/http2/connect_session.h"

namespace byrnie {

// The header in which a refusing proxy says why.
inline constexpr char kDenyReasonHeader[] = "x-byrnie-deny-reason";

// A peer's answer to a CONNECT other than 200, as an error of `code` that says so.
absl::Status ConnectRefusal(absl::StatusCode code, int http_status, const HeaderList& headers);
// What that header said in the answer that `status` of TunnelPool::Open came from; empty: nothing.
// Anything a peer may write, of at most 128 bytes.
std::string DenyReasonOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_CONNECT_REFUSAL_H_
