#ifndef BYRNIE_CONTROLPLANE_ATTEST_JOIN_TOKEN_H_
#define BYRNIE_CONTROLPLANE_ATTEST_JOIN_TOKEN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/secret_bytes.h"
#include "common/identity/spiffe_id.h"
#include "common/telemetry/metrics.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/store/store.h"

namespace byrnie {

// One-time secrets an operator makes for one identity. The store has only their hashes.
// Thread-safe; the pointers outlive it.
class JoinTokens final : public Attestor {
 public:
  static constexpr absl::Duration kDefaultTtl = absl::Minutes(10);
  static constexpr absl::Duration kMaxTtl = absl::Hours(24);

  struct Created {
    SecretBytes token;
    // Names it, in lists, the audit log and what is issued for it; not secret.
    std::string id;
    absl::Time expires_at;
  };

  JoinTokens(std::string trust_domain, Store* store, const Clock* clock, MetricRegistry* metrics);

  // InvalidArgument when the identity is of another trust domain or reserved, or the ttl is not
  // within (0, kMaxTtl], with the field of the operator's request; else as AddJoinToken of the
  // records.
  absl::StatusOr<Created> Create(const SpiffeId& id, absl::Duration ttl);

  // The id that somebody means who gives an id, or by a slip the secret of a token.
  static std::string IdOf(absl::string_view id_or_secret);

  // One that may still be used.
  struct Listed {
    std::string id;
    std::string spiffe_id;
    absl::Time expires_at;
  };
  // Those after the one of that id, at most `limit`; as ListJoinTokens.
  absl::StatusOr<std::vector<Listed>> List(const std::string& after_id, int limit);
  // Makes it unusable, and says whom it was for. NotFound when it is unknown, used or has expired.
  absl::StatusOr<std::string> Revoke(const std::string& id);

  absl::string_view name() const override { return "join_token"; }
  // Takes everything but a JWT for a join token. The subject of a claim is the token's id.
  absl::StatusOr<Claim> Check(absl::string_view credential, const Caller& caller) override;
  absl::Status Redeem(const Claim& claim) override;
  absl::StatusOr<bool> RedeemNoting(const Claim& claim, const StoreEntry& note) override;

 private:
  static absl::Status Refused(const absl::Status& store_status);

  const std::string trust_domain_;
  Store* const store_;        // Not owned.
  const Clock* const clock_;  // Not owned.
  Counter* const created_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_JOIN_TOKEN_H_
