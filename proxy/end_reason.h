#ifndef BYRNIE_PROXY_END_REASON_H_
#define BYRNIE_PROXY_END_REASON_H_

#include "absl/strings/string_view.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/handshake_fault.h"
#include "common/tls/session_fault.h"
#include "proxy/access_record.h"

namespace byrnie {

// Reasons of AccessRecord::reason about the peer, of connections that end and of ones that are
// refused: trust in it, and what it did to the TLS of direct mTLS. The same done to a tunnel is of
// tunnel_reason.
namespace end_reason {
// The trust bundles changed, and the peer's identity is not proven by what is left of them.
inline constexpr absl::string_view kTrustRemoved = "trust-removed";
// A certificate of the peer is on a revocation list.
inline constexpr absl::string_view kCertificateRevoked = "certificate-revoked";
// There are revocation lists for the peer's trust domain, and none that can say that the peer is
// not revoked.
inline constexpr absl::string_view kRevocationUnknown = "revocation-unknown";
// It sent what is not TLS of this session, or somebody on the way did; or it flooded.
inline constexpr absl::string_view kTlsProtocol = "tls-protocol";
inline constexpr absl::string_view kTlsFlood = "tls-flood";
// It, or somebody on the way, ended the connection without the word that says that all has been
// sent. The application is reset: it must not take a part for the whole.
inline constexpr absl::string_view kTlsTruncated = "tls-truncated";

// Of an open connection whose peer is proven no longer.
inline absl::string_view For(SvidDefect defect) {
  switch (defect) {
    case SvidDefect::kRevoked:
      return kCertificateRevoked;
    case SvidDefect::kRevocationUnknown:
      return kRevocationUnknown;
    case SvidDefect::kNone:
    case SvidDefect::kMalformed:
    case SvidDefect::kUnknownIssuer:
    case SvidDefect::kExpired:
    case SvidDefect::kNotYetValid:
      break;
  }
  return kTrustRemoved;
}

// Of a connection by direct mTLS that broke with `status`; empty where the peer is not to blame.
inline absl::string_view OfSession(const absl::Status& status) {
  switch (SessionFaultOf(status)) {
    case SessionFault::kProtocol:
      return kTlsProtocol;
    case SessionFault::kFlood:
      return kTlsFlood;
    case SessionFault::kTruncated:
      return kTlsTruncated;
    case SessionFault::kNone:
      break;
  }
  return {};
}

// Of a connection that was refused because the other end did not prove itself.
inline absl::string_view OfHandshake(const absl::Status& status) {
  const SvidDefect defect = DefectOf(status);
  return defect == SvidDefect::kNone ? access_reason::kTlsFailed : For(defect);
}
}  // namespace end_reason

}  // namespace byrnie

#endif  // BYRNIE_PROXY_END_REASON_H_
