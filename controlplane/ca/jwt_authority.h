#ifndef BYRNIE_CONTROLPLANE_CA_JWT_AUTHORITY_H_
#define BYRNIE_CONTROLPLANE_CA_JWT_AUTHORITY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/private_key.h"
#include "common/identity/jwt_key.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/records/jwt_key_record.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/seal/key_seal.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A JWT-SVID as it was issued.
struct IssuedJwt {
  std::string token;  // Secret.
  absl::Time issued_at, expires_at;
};

// Issues JWT-SVIDs of one trust domain. Decides nothing about who gets one: the caller has proven
// the identity. Thread-safe; holds the signing keys.
//
// Keys rotate. The next one is published well before it signs, so that every verifier knows it by
// then, and stays published for a whole period beyond its own, so that a store that cannot be
// written to for so long costs nothing. Control planes that share a store share the keys.
//
// A record that cannot be read keeps no other one back: the key of it that is known stays, and one
// that is not known signs nothing and verifies nothing.
class JwtAuthority {
 public:
  struct Options {
    // No token lives longer.
    absl::Duration max_ttl = absl::Minutes(5);
    // How long a key signs.
    absl::Duration rotation = absl::Hours(24);
    // How the store keeps the keys.
    KeySeal seal = KeySeal();
    // Is told of records that cannot be read; may be null.
    UnreadableRecords* unreadable = nullptr;
  };
  // How long before a key signs it is published: a quarter of the period, at most this.
  static constexpr absl::Duration kLongestLead = absl::Minutes(10);

  // Takes the keys of the store, and makes the first where none can sign. FailedPrecondition when
  // there are keys and none of them can be opened with the seal. Errors as the store.
  static absl::StatusOr<std::unique_ptr<JwtAuthority>> LoadOrCreate(Store* store,
                                                                    std::string trust_domain,
                                                                    const Clock* clock,
                                                                    Options options);

  // InvalidArgument: the identity is of another trust domain, the audiences are not what
  // CheckJwtAudiences takes, or the ttl is not positive. Unavailable: no key can sign now.
  absl::StatusOr<IssuedJwt> Issue(const SpiffeId& id, const std::vector<std::string>& audience,
                                  absl::optional<absl::Duration> ttl) const;

  // What tokens are verified with.
  std::vector<JwtKey> PublicKeys() const;

  // Makes the next key when it is time and `may_make`, takes in those of other control planes, and
  // drops those that have ended. True when PublicKeys() has changed. What there is stays when it
  // fails. To be called about twice a second. Blocks on the store.
  absl::StatusOr<bool> RotateIfDue(bool may_make = true);
  // Takes in the keys that the store has now. As above.
  absl::StatusOr<bool> Reload();

 private:
  struct Key {
    std::string id;
    std::shared_ptr<const PrivateKey> key;
    std::shared_ptr<const PublicKey> public_key;
    absl::Time signs_from, not_after;
    std::string record;  // In the store.
  };
  using Keys = std::vector<Key>;  // By signs_from.

  JwtAuthority(Store* store, std::string trust_domain, const Clock* clock, Options options);
  absl::Duration Lead() const;
  absl::StatusOr<Keys> Load(absl::Time now) const;
  // FailedPrecondition and DataLoss: it cannot be opened. Else as the store.
  absl::StatusOr<Key> Open(JwtKeyRecord record) const;
  // Adds what is known of the records that cannot be read, and tells of them.
  void AddKnown(const std::map<std::string, std::string>& unreadable, absl::Time now,
                Keys* keys) const;
  // Stores a key as it should be.
  absl::Status Reseal(const SecretBytes& key, JwtKeyRecord* record) const;
  // Adds a key to the store unless another process has been faster.
  absl::Status Add(absl::Time signs_from, absl::Time after, absl::Time now);
  static bool SameIds(const Keys& a, const Keys& b);
  const Key* Signer(absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  Store* const store_;  // Not owned.
  const std::string trust_domain_;
  const Clock* const clock_;  // Not owned.
  const Options options_;
  // Held while the keys are read and taken in, so that none are replaced by older ones.
  absl::Mutex reload_mu_;
  mutable absl::Mutex mu_;
  Keys keys_ ABSL_GUARDED_BY(mu_);
  absl::Time next_load_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_JWT_AUTHORITY_H_
