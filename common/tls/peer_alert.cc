#include "common/tls/peer_alert.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/net/end_code.h"
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

namespace {

constexpr absl::string_view kMark = "byrnie/peer-alert";

// Those that are about the peer and not about this end, and mean the same to everybody.
constexpr struct {
  uint8_t alert;
  EndCode code;
} kEnds[] = {{SSL_AD_ACCESS_DENIED, kEndPolicyChanged},
             {SSL_AD_UNKNOWN_CA, kEndTrustRemoved},
             {SSL_AD_CERTIFICATE_REVOKED, kEndCertificateRevoked}};

absl::Status Describe(uint8_t alert) {
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

}  // namespace

absl::Status PeerAlertStatus(uint8_t alert) {
  absl::Status status = Describe(alert);
  status.SetPayload(kMark, absl::Cord(absl::string_view(reinterpret_cast<char*>(&alert), 1)));
  return status;
}

absl::optional<uint8_t> AlertOfEndCode(uint32_t code) {
  for (const auto& end : kEnds) {
    if (end.code == code) return end.alert;
  }
  return absl::nullopt;
}

uint32_t EndCodeOfAlert(const absl::Status& status) {
  const absl::optional<absl::Cord> mark = status.GetPayload(kMark);
  if (!mark.has_value() || mark->size() != 1) return kEndUnsaid;
  for (const auto& end : kEnds) {
    if (end.alert == static_cast<uint8_t>((*mark)[0])) return end.code;
  }
  return kEndUnsaid;
}

}  // namespace byrnie
