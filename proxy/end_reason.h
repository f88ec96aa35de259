#ifndef BYRNIE_PROXY_END_REASON_H_
#define BYRNIE_PROXY_END_REASON_H_

#include "absl/strings/string_view.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/handshake_fault.h"
#include "proxy/access_record.h"

namespace byrnie {

// Reasons of AccessRecord::reason about trust in the peer, of connections that end and of ones that
// are refused.
namespace end_reason {
// The trust bundles changed, and the peer's identity is not proven by what is left of them.
inline constexpr absl::string_view kTrustRemoved = "trust-removed";
// A certificate of the peer is on a revocation list.
inline constexpr absl::string_view kCertificateRevoked = "certificate-revoked";
// There are revocation lists for the peer's trust domain, and none that can say that the peer is
// not revoked.
inline constexpr absl::string_view kRevocationUnknown = "revocation-unknown";

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

// Of a connection that was refused because the other end did not prove itself.
inline absl::string_view OfHandshake(const absl::Status& status) {
  const SvidDefect defect = DefectOf(status);
  return defect == SvidDefect::kNone ? access_reason::kTlsFailed : For(defect);
}
}  // namespace end_reason

}  // namespace byrnie

#endif  // BYRNIE_PROXY_END_REASON_H_
