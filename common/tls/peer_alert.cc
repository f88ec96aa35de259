#include "common/tls/peer_alert.h"

#include "absl/strings/str_cat.h"
#include "openssl/err.h"
#include "openssl/ssl.h"

namespace byrnie {

absl::optional<uint8_t> PeerAlertOf(uint32_t error) {
  const int reason = ERR_GET_REASON(error);
  if (ERR_GET_LIB(error) != ERR_LIB_SSL || reason < SSL_AD_REASON_OFFSET ||
      reason > SSL_AD_REASON_OFFSET + 255) {
    return absl::nullopt;
  }
  return static_cast<uint8_t>(reason - SSL_AD_REASON_OFFSET);
}

absl::Status PeerAlertStatus(uint8_t alert) {
  const char* text = SSL_alert_desc_string_long(alert);
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return absl::UnauthenticatedError(absl::StrCat("peer refused our certificate: ", text));
    case SSL_AD_UNKNOWN_CA:
      return absl::UnauthenticatedError(
          "peer refused our certificate: unknown CA (our trust domain or root is not in its "
          "bundle)");
    case SSL_AD_ACCESS_DENIED:
      return absl::UnauthenticatedError(
          "peer refused us: access_denied (its policies deny it, or our identity is not one it "
          "expects)");
    case SSL_AD_CERTIFICATE_REQUIRED:
      return absl::UnauthenticatedError("peer requires a certificate, and we sent none");
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return absl::UnauthenticatedError("peer does not speak our application protocol");
    case SSL_AD_INTERNAL_ERROR:
    case SSL_AD_USER_CANCELLED:
      return absl::UnavailableError(absl::StrCat("peer gave up: ", text));
    default:
      return absl::UnauthenticatedError(absl::StrCat("peer refused the TLS session: ", text));
  }
}

}  // namespace byrnie
