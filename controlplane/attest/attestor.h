#ifndef BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_
#define BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {

// Turns a credential that is not a certificate into an identity, in two steps, so that a credential
// which can be used only once is used up by success alone: Check() before the work, Redeem() as its
// last step. Thread-safe; may block.
class Attestor {
 public:
  struct Claim {
    SpiffeId id;
    // What the attestor needs to redeem the claim; not secret.
    std::string handle;
  };

  virtual ~Attestor() = default;

  // Unauthenticated when the credential proves nothing, without saying why; Unavailable when that
  // cannot be told now.
  virtual absl::StatusOr<Claim> Check(absl::string_view credential) = 0;
  // Unauthenticated when somebody else has redeemed it since: the caller then throws away what it
  // made.
  virtual absl::Status Redeem(const Claim& claim) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_
