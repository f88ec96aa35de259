#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_JWT_ISSUER_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_JWT_ISSUER_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// An authority that issues JWT-SVIDs for this workload. Lives on the agent's loop; callbacks run
// there in a later turn, and none after it is destroyed.
class JwtIssuer {
 public:
  // The token, not judged.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<SecretBytes>)>;

  virtual ~JwtIssuer() = default;

  // `done` runs exactly once and within 15 s: Unavailable or DeadlineExceeded when it is worth
  // trying again, Unauthenticated when our certificate is not accepted, Unimplemented when the
  // authority issues none.
  virtual void Issue(const std::vector<std::string>& audience, Callback done) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_JWT_ISSUER_H_
