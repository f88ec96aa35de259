#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_MESSAGES_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_MESSAGES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "certagent/workload_api/workload_state.h"
#include "common/identity/jwt_key.h"
#include "common/identity/trust_bundle.h"
#include "spiffe/workload/workload.pb.h"

namespace byrnie {

// The messages of the Workload API. Thread-safe.

// "spiffe://TRUST_DOMAIN", as the standard's maps are keyed.
std::string TrustDomainId(absl::string_view trust_domain);

// Holds the private key: to be wiped with WipeKeys once it is written.
X509SVIDResponse MakeX509SvidResponse(const WorkloadState& state);
void WipeKeys(X509SVIDResponse* response);

X509BundlesResponse MakeX509BundlesResponse(const TrustBundleSet& bundles);
JWTBundlesResponse MakeJwtBundlesResponse(const TrustBundleSet& bundles);

// The keys as a JSON Web Key Set (RFC 7517) for JWT-SVIDs.
std::string JsonWebKeySet(const std::vector<JwtKey>& keys);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_MESSAGES_H_
