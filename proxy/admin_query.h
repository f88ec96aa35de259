#ifndef BYRNIE_PROXY_ADMIN_QUERY_H_
#define BYRNIE_PROXY_ADMIN_QUERY_H_

#include "absl/status/statusor.h"
#include "common/http/http_message.h"
#include "proxy/connection.h"
#include "proxy/flight_recorder.h"

namespace byrnie {

// What is asked of a page behind the '?'. InvalidArgument names what is not understood and what
// there is; a filter that is not understood must not look like one that found nothing.

// /connections: direction=inbound|outbound, peer=SPIFFE-ID, limit=1…10000.
absl::StatusOr<Connection::Filter> ParseConnectionQuery(const HttpRequest& request);
// /recorder: direction, peer and limit (…1000) as above, reason=REASON,
// result=allowed|denied|failed, slow=DURATION ("100ms").
absl::StatusOr<FlightRecorder::Filter> ParseRecorderQuery(const HttpRequest& request);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADMIN_QUERY_H_
