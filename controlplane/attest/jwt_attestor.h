#ifndef BYRNIE_CONTROLPLANE_ATTEST_JWT_ATTESTOR_H_
#define BYRNIE_CONTROLPLANE_ATTEST_JWT_ATTESTOR_H_

#include <cstddef>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/attest/jwt_trust.h"
#include "controlplane/attest/used_tokens.h"

namespace byrnie {

// Takes the JWTs of OpenID Connect issuers: ES256 or RS256, as the key's type has it and the header
// says too. Verified here, nobody is asked. Thread-safe; the clock outlives it.
//
// A token of an issuer with `single_use` gives one certificate in the life of this process: it is
// remembered until its end, as the bytes that were signed, so that neither a second signature of
// them nor an issuer without "jti" makes it a new one.
class JwtAttestor final : public Attestor {
 public:
  // A longer token is not looked at.
  static constexpr size_t kMaxSize = 16 * 1024;
  // Used tokens of one issuer that are remembered; beyond, its tokens are Unavailable.
  static constexpr size_t kMaxUsedTokens = 100000;

  JwtAttestor(JwtTrustPtr trust, const Clock* clock)
      : clock_(clock), used_(kMaxUsedTokens), trust_(std::move(trust)) {}

  // Puts other issuers and keys in force.
  void SetTrust(JwtTrustPtr trust);

  absl::string_view name() const override { return "jwt"; }
  // NotFound: no JWT, or that of an issuer that is not configured.
  absl::StatusOr<Claim> Check(absl::string_view credential, const Caller& caller) override;
  absl::Status Redeem(const Claim& claim) override;
  void Restore(const Claim& claim) override;

 private:
  const Clock* const clock_;  // Not owned.
  UsedTokens used_;
  absl::Mutex mu_;
  JwtTrustPtr trust_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_JWT_ATTESTOR_H_
