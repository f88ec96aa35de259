#ifndef BYRNIE_CONTROLPLANE_RECORDS_JOIN_TOKEN_RECORD_H_
#define BYRNIE_CONTROLPLANE_RECORDS_JOIN_TOKEN_RECORD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A join token that may still be used. The token itself is never stored.
struct JoinTokenRecord {
  // HashBearerToken() of the token: 32 bytes, the key.
  std::string hash;
  // The only identity it gives.
  std::string spiffe_id;
  // It is refused from then on. Kept with a resolution of one microsecond or better.
  absl::Time expires_at;
};

// Errors beside those below are the store's. What is Unknown to the store is Unavailable here: to
// do the same again is right.

// More unused ones are not kept; control planes that add at the same moment may go beyond by one
// each.
inline constexpr int kMaxJoinTokens = 100000;

// Adds a token and forgets some that expired before `now`, all where there would be no room else.
// AlreadyExists when the hash is known; ResourceExhausted when kMaxJoinTokens unexpired ones are
// waiting.
absl::Status AddJoinToken(Store* store, const JoinTokenRecord& token, absl::Time now);

// Looks without using up. NotFound when the token is unknown, used or has expired at `now`.
absl::StatusOr<JoinTokenRecord> FindJoinToken(Store* store, const std::string& hash,
                                              absl::Time now);

// Tokens whose hash is greater than `after_hash`, by hash, at most `limit` of them (1 to
// Store::kMaxPage); expired ones are left out.
absl::StatusOr<std::vector<JoinTokenRecord>> ListJoinTokens(Store* store,
                                                            const std::string& after_hash,
                                                            int limit, absl::Time now);

// Uses up: of any number of calls, from any number of processes, exactly one gets OK. NotFound as
// above. After Unavailable it may be used up nevertheless.
// `note`, where given, is put into the store with that.
absl::Status ConsumeJoinToken(Store* store, const std::string& hash, absl::Time now,
                              const StoreEntry* note = nullptr);

// Adds the writes of the record to a transaction.
void PutJoinToken(const JoinTokenRecord& token, StoreTransaction* transaction);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_JOIN_TOKEN_RECORD_H_
