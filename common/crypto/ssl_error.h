#ifndef BYRNIE_COMMON_CRYPTO_SSL_ERROR_H_
#define BYRNIE_COMMON_CRYPTO_SSL_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Empties BoringSSL's error queue of this thread into a short text for people, oldest first, at
// most four entries: "wrong tag; nested asn1 error". Never empty. Whoever sees a BoringSSL call
// fail calls this (or SslError), so that the failure does not turn up in someone else's error.
std::string DrainSslErrors();

// A status of `code` that says "what: " and the drained queue.
absl::Status SslError(absl::StatusCode code, absl::string_view what);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_SSL_ERROR_H_
