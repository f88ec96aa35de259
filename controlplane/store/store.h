#ifndef BYRNIE_CONTROLPLANE_STORE_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// The certificate authority of a trust domain, as it survives a restart.
struct AuthorityRecord {
  std::string trust_domain;
  // The root certificate, DER.
  std::string root_der;
  // Its private key, PKCS#8.
  SecretBytes key_pkcs8;
};

// A join token that may still be used. The token itself is never stored.
struct JoinTokenRecord {
  // HashBearerToken() of the token: 32 bytes, the key.
  std::string hash;
  // The only identity it gives.
  std::string spiffe_id;
  // It is refused from then on. Kept with a resolution of one microsecond.
  absl::Time expires_at;
};

// A key that JWT-SVIDs are signed with. Times are kept with a resolution of one microsecond.
struct JwtKeyRecord {
  // Unique.
  std::string id;
  // The private key, PKCS#8.
  SecretBytes key_pkcs8;
  absl::Time signs_from;
  // No token it signed is valid then.
  absl::Time not_after;
};

// What a control plane must not forget. Every method is one transaction: it has happened, durably,
// or nothing has changed. Unavailable, with the reason, where the engine cannot answer: the caller
// may try again. Blocks on the disk. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  // Absent before the first start.
  virtual absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority() = 0;
  // AlreadyExists when there is an authority: one is never replaced by accident.
  virtual absl::Status CreateAuthority(const AuthorityRecord& authority) = 0;

  // Adds a token and forgets those that expired before `now`. AlreadyExists when the hash is known;
  // ResourceExhausted when kMaxJoinTokens unexpired ones are waiting.
  virtual absl::Status AddJoinToken(const JoinTokenRecord& token, absl::Time now) = 0;
  // Looks without using up. NotFound when the token is unknown, used or has expired at `now`.
  virtual absl::StatusOr<JoinTokenRecord> FindJoinToken(const std::string& hash,
                                                        absl::Time now) = 0;
  // Uses up: of any number of calls, from any number of processes, exactly one gets OK. NotFound as
  // above.
  virtual absl::Status ConsumeJoinToken(const std::string& hash, absl::Time now) = 0;

  // Those that have not ended at `now`, by signs_from, then id.
  virtual absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(absl::Time now) = 0;
  // Adds a key and forgets those that have ended at `now`. AlreadyExists when there is one, not
  // ended, that signs from later than `after`: of several processes that find it time for the next
  // key, one makes it.
  virtual absl::Status AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) = 0;

  // HashBearerToken() of the operator's token; absent before the first start.
  virtual absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash() = 0;
  virtual absl::Status SetOperatorTokenHash(const std::string& hash) = 0;

  static constexpr int kMaxJoinTokens = 100000;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_STORE_H_
