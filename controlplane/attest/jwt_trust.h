#ifndef BYRNIE_CONTROLPLANE_ATTEST_JWT_TRUST_H_
#define BYRNIE_CONTROLPLANE_ATTEST_JWT_TRUST_H_

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/token/jwk_set.h"
#include "controlplane/attest/jwt_config.h"

namespace byrnie {

// Issuers with their keys, as they are in force. Immutable.
struct JwtTrust {
  struct Entry {
    JwtIssuer issuer;
    std::shared_ptr<const JwkSet> keys;
  };
  absl::Duration leeway;
  std::vector<Entry> issuers;
  // Of all that the files say; another one when that changes. Empty: they were no files.
  std::string digest;
};
using JwtTrustPtr = std::shared_ptr<const JwtTrust>;

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_JWT_TRUST_H_
