#ifndef BYRNIE_COMMON_TLS_PEER_ALERT_H_
#define BYRNIE_COMMON_TLS_PEER_ALERT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/optional.h"

namespace byrnie {

// The alert (RFC 8446 section 6.2) that BoringSSL's packed error `error` says the peer has sent;
// none when the error is something else.
absl::optional<uint8_t> PeerAlertOf(uint32_t error);

// What a fatal alert of the peer means to us: Unauthenticated when it refuses us or our offer,
// Unavailable when it could not go on. The status bears a mark, which stays wherever it is copied.
absl::Status PeerAlertStatus(uint8_t alert);

// The alert that says of an open connection what an EndCode does; none: no alert does.
absl::optional<uint8_t> AlertOfEndCode(uint32_t code);
// The EndCode that the alert says which broke a stream with `status`; 0: none, or no alert did.
uint32_t EndCodeOfAlert(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_PEER_ALERT_H_
