#ifndef BYRNIE_CERTAGENT_ISTIO_MESSAGES_H_
#define BYRNIE_CERTAGENT_ISTIO_MESSAGES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "istio/v1/auth/ca.pb.h"

namespace byrnie {

// What an answer of an Istio CA holds. Parsed, not judged.
struct IstioCertificate {
  CertificateChain chain;
  // Those of the last element; without duplicates, in an order of their own, so that equal sets are
  // equal.
  std::vector<CertificatePtr> roots;
};

// InvalidArgument when there are fewer than two elements, or one is not PEM certificates; names it.
absl::StatusOr<IstioCertificate> ParseIstioResponse(
    const istio::v1::auth::IstioCertificateResponse& response);

// A PKCS#10 request as PEM.
std::string CsrToPem(absl::string_view der);

// An Istio CA's errors are what they say, but for the one that a flag of ours explains: a life of
// `ttl` that is longer than it allows.
absl::Status ExplainIstioError(absl::Status status, absl::Duration ttl);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ISTIO_MESSAGES_H_
