#ifndef BYRNIE_CERTAGENT_IDENTITY_PAGES_H_
#define BYRNIE_CERTAGENT_IDENTITY_PAGES_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/renewer.h"

namespace byrnie {

// What the admin pages say of the identity, as JSON. Nothing of it is secret.

// "none", "valid", "not yet valid", "expired".
std::string CertificateState(const Renewer& renewer, absl::Time now);
// Why the next attempt is when it is.
std::string RenewalReason(const Renewer& renewer);

// The present chain, its state, the next renewal and the last error.
std::string CertsJson(const Renewer& renewer, absl::Time now);

// What is trusted, by trust domain. `proxy_generation` is the generation of the identity that the
// proxy has in force; absent: no proxy is connected.
std::string BundlesJson(const Renewer& renewer, absl::optional<uint64_t> proxy_generation,
                        absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_IDENTITY_PAGES_H_
