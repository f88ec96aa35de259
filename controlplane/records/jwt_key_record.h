#ifndef BYRNIE_CONTROLPLANE_RECORDS_JWT_KEY_RECORD_H_
#define BYRNIE_CONTROLPLANE_RECORDS_JWT_KEY_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/secret_bytes.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A key that JWT-SVIDs are signed with. Times are kept with a resolution of one microsecond or
// better.
struct JwtKeyRecord {
  // Unique.
  std::string id;
  // The private key, PKCS#8.
  SecretBytes key_pkcs8;
  absl::Time signs_from;
  // No token it signed is valid then.
  absl::Time not_after;
  // Where it was found, as the store calls that.
  std::string record = "";
};

// What all keys are under, for a watch.
inline constexpr char kJwtKeyPrefix[] = "jwt_keys/";

// Those that have not ended at `now`, by signs_from, then id. Records that cannot be right are left
// out, and their names added to `damaged`. Errors as the store.
absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(Store* store, absl::Time now,
                                                      std::vector<std::string>* damaged);

// Adds a key and forgets those that have ended at `now`. AlreadyExists when there is one, not
// ended, that signs from later than `after`: of several processes that find it time for the next
// key, one makes it. Else as the store.
absl::Status AddJwtKey(Store* store, const JwtKeyRecord& key, absl::Time after, absl::Time now);

// Writes a key that is there anew, under its id. NotFound when it is not, or not any more; Aborted
// when another process is changing it. Else as the store.
absl::Status ReplaceJwtKey(Store* store, const JwtKeyRecord& key);

// Adds the write of the record, which holds a secret, to a transaction. No two keys have the same
// number.
void PutJwtKey(const JwtKeyRecord& key, int64_t number, StoreTransaction* transaction);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_JWT_KEY_RECORD_H_
