#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_DIRECTORY_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_DIRECTORY_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/secret_bytes.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/operator/role.h"
#include "controlplane/records/record_table.h"

namespace byrnie {

// Identities that are operators, and what they may do.
using OperatorIdentities = std::map<std::string, Role, std::less<>>;

// Reads "spiffe://cluster.local/ns/ops/sa/alice=admin,...": identities of `trust_domain`, outside
// /byrnie, each once. InvalidArgument names the part and what is wrong.
absl::StatusOr<OperatorIdentities> ParseOperatorIdentities(absl::string_view text,
                                                           absl::string_view trust_domain);

// Who may call the operator's API, and as what. The one token of --operator_token_out is an admin
// called kFirstToken; the others are made through the API and kept as records of their hashes.
// Every question is asked of the records anew: a token that was revoked, by whatever replica, is
// refused from then on. Tokens that no reading has shown share one reading at a time, so that
// whoever makes them up holds no more of the process than that. Thread-safe; may block; the
// pointers outlive it.
class OperatorDirectory {
 public:
  static constexpr char kFirstToken[] = "operator-token-file";
  static constexpr absl::Duration kDefaultTtl = absl::Hours(24 * 30);
  static constexpr absl::Duration kMaxTtl = absl::Hours(24 * 366);
  static constexpr size_t kMaxTokens = 1000;

  struct Token {
    std::string name;
    Role role = Role::kViewer;
    std::string created_by;
    absl::Time created_at;
    absl::Time expires_at;
  };
  struct Created {
    SecretBytes secret;
    Token token;
  };

  // `first_hash` is HashBearerToken() of the first token; empty: there is none.
  OperatorDirectory(std::string first_hash, OperatorIdentities identities, RecordTable* tokens,
                    const Clock* clock);

  // Another token is the first one from now on.
  void SetFirstHash(std::string hash);

  // Unauthenticated when the token is unknown, revoked or expired, without saying which;
  // Unavailable when that cannot be told now. While another token that is not known yet is being
  // looked up, what the last reading has shown decides: it does not block then.
  absl::StatusOr<Caller> ByToken(absl::string_view token) const;
  // PermissionDenied when the identity is nobody's who may.
  absl::StatusOr<Caller> ByIdentity(const SpiffeId& id) const;
  // The role of an identity that is an operator's.
  absl::optional<Role> RoleOf(const SpiffeId& id) const;
  // Whether each of these callers of earlier is still one, for streams: by the token that was
  // shown, not by its name. True where that cannot be told now: the stream was let in, and shows
  // nothing that changes by itself. Asks for the records at most once. Whether a certificate has
  // been revoked is for others to say.
  std::vector<bool> AreStillValid(const std::vector<Caller>& callers) const;

  // InvalidArgument with the field, also where `name` is the secret of a token; AlreadyExists;
  // ResourceExhausted beyond kMaxTokens; Unavailable. Reads the records once.
  absl::StatusOr<Created> Create(const std::string& name, Role role,
                                 absl::optional<absl::Duration> ttl, const std::string& creator);
  // By name, those that have not expired.
  absl::StatusOr<std::vector<Token>> List() const;
  // The name of the token whose secret somebody gives by a slip in the place of its name. What is
  // the secret of none is given back as it is. Unavailable.
  absl::StatusOr<std::string> NameFrom(const std::string& name_or_secret) const;
  // A name that nobody has, for logs and messages: without its text where it may be the secret of
  // a token.
  static std::string Harmless(const std::string& name);
  // NotFound; FailedPrecondition for the first token; Unavailable.
  absl::Status Revoke(const std::string& name);

 private:
  struct Stored;
  // Whether it is the hash of the first token.
  bool IsFirst(const std::string& hash) const;
  absl::StatusOr<std::vector<Stored>> Load() const;
  // Load() for a token of this hash, where it is worth that: else what its caller is told.
  absl::StatusOr<std::vector<Stored>> LoadFor(const std::string& hash) const;

  mutable absl::Mutex mu_;
  std::string first_hash_ ABSL_GUARDED_BY(mu_);
  // Of all tokens, as of the last reading; absent before it.
  mutable absl::optional<absl::flat_hash_set<std::string>> known_ ABSL_GUARDED_BY(mu_);
  // The records are being read for a token that is not among them.
  mutable bool reading_for_stranger_ ABSL_GUARDED_BY(mu_) = false;
  const OperatorIdentities identities_;
  RecordTable* const tokens_;  // Not owned.
  const Clock* const clock_;   // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_DIRECTORY_H_
