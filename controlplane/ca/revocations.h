#ifndef BYRNIE_CONTROLPLANE_CA_REVOCATIONS_H_
#define BYRNIE_CONTROLPLANE_CA_REVOCATIONS_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/crypto/revocation_list.h"
#include "controlplane/ca/settled_time.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// A certificate that is not to be trusted any more.
struct RevokedCertificate {
  // As Certificate::SerialHex.
  std::string serial;
  // Whose it is, where that is known.
  std::string identity;
  // It has ended then anyway.
  absl::Time not_after;
  absl::Time revoked_at;
  // Who said so, and why.
  std::string by, reason;
};

// The newest list of an issuer, for whoever has not its key: other control planes of the store, and
// those that start after it has been replaced.
struct KeptList {
  std::string issuer;  // As Certificate::FingerprintHex.
  RevocationListPtr list;
};

// Where revocations are kept. Thread-safe; blocks.
class RevocationStore {
 public:
  virtual ~RevocationStore() = default;
  virtual absl::StatusOr<std::vector<RevokedCertificate>> Load() = 0;
  // Adding one that is there, or removing one that is not, changes nothing. True when it was not
  // there.
  virtual absl::StatusOr<bool> Add(const RevokedCertificate& revoked) = 0;
  virtual absl::Status Remove(const std::string& serial) = 0;
  // `known` are those of before: what is the same is not parsed again.
  virtual absl::StatusOr<std::vector<KeptList>> LoadLists(const std::vector<KeptList>& known) = 0;
  // Replaces the issuer's.
  virtual absl::Status KeepList(const KeptList& kept) = 0;
  virtual absl::Status RemoveList(const std::string& issuer) = 0;
};

// The certificates of the trust domain that were revoked, and the lists that say so, signed by
// every authority whose certificates are in use. Without a revocation none is published, and the
// mesh does not depend on one being fresh; unless others have lists of the trust domain in force,
// because then every certificate needs one of its issuer, and those of issuers that they do not
// cover are published, too.
//
// An authority may be replaced by another one, whose key signs no list for the certificates of the
// former. So each list is made all the time and kept in the store, too: the last one of an issuer
// outlives all that it has issued, and is published beside those of others until it ends.
//
// What a clock that is wrong says cannot be taken back where a record is deleted by it, so records
// outlive their certificates by kKept, and time is SettledTime. Lists do not wait for the store:
// they are renewed while it takes no writes. Thread-safe; the pointers outlive it.
class Revocations {
 public:
  // A list is good for at least so long, and for twice the life of certificates, so that a control
  // plane that is away costs certificates before it costs lists. It is made anew in half the time.
  static constexpr absl::Duration kShortestListLife = absl::Hours(24);
  // More would not fit into a list that agents take.
  static constexpr size_t kMaxRevoked = 10000;
  // How long after the end of its certificate a record stays in the store: longer than a clock that
  // is wrong goes unnoticed.
  static constexpr absl::Duration kKept = absl::Hours(7 * 24);

  enum class Issuers {
    // All whose certificates are in use are given to Update: roots of its own.
    kAllGiven,
    // Others may have issued what is in use, now or before: a plugged CA.
    kOthersToo,
  };

  // Errors as the store.
  static absl::StatusOr<std::unique_ptr<Revocations>> Load(RevocationStore* store,
                                                           absl::Duration workload_ttl,
                                                           Issuers issuers, const Clock* clock);

  // InvalidArgument unless it is a serial number as Certificate::SerialHex writes them.
  static absl::Status CheckSerial(const std::string& serial);

  // InvalidArgument: the serial is none, or the certificate has ended. ResourceExhausted beyond
  // kMaxRevoked. Unavailable: the store. In force with the next Update. True when nobody had
  // revoked it before, here or at another control plane of the store.
  absl::StatusOr<bool> Revoke(const RevokedCertificate& revoked);
  // Those that have not ended, by serial.
  std::vector<RevokedCertificate> List() const;
  // Also one that has ended since, for as long as its record is there.
  absl::optional<RevokedCertificate> Find(absl::string_view serial) const;
  bool IsRevoked(absl::string_view serial) const { return Find(serial).has_value(); }

  // The lists of the trust domain in force that others have made; with the next Update.
  void SetOthers(std::vector<RevocationListPtr> others);
  // Makes the lists that are due: something was revoked, has ended, the authorities are others, or
  // time has passed. True when lists() has changed. What there is stays when it fails. Asks nothing
  // of the store. To be called about twice a second.
  absl::StatusOr<bool> Update(const std::vector<SigningAuthorityPtr>& authorities);
  // Deletes some of the records whose certificates ended kKept ago, for good. Errors as the store;
  // it is tried again with the next call.
  absl::Status Forget();
  // Stores the lists that were made and are not in the store yet. Errors as the store.
  absl::Status Keep();
  // Takes in what other processes have revoked, and their lists. Errors as the store.
  absl::Status Reload();
  // Those to be published; none where nothing is revoked and others have none.
  std::vector<RevocationListPtr> lists() const;
  // True for one of an issuer whose key is not here, which is not renewed.
  bool IsOfOther(const RevocationListPtr& list) const;
  // How long one is good for.
  absl::Duration list_life() const { return list_life_; }

 private:
  Revocations(RevocationStore* store, absl::Duration workload_ttl, Issuers issuers,
              const Clock* clock);
  absl::Status LoadLists();
  // Those that have not ended, by serial.
  std::vector<RevokedCertificate> InForce() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether it signs the issuer's lists itself.
  bool Makes(const std::string& issuer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Those made, and of those kept the ones of other issuers, the newest first, as far as they fit.
  std::vector<RevocationListPtr> ToPublish() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RevocationStore* const store_;  // Not owned.
  const absl::Duration list_life_;
  const Issuers issuers_;
  const Clock* const clock_;  // Not owned.
  mutable absl::Mutex mu_;
  mutable SettledTime time_ ABSL_GUARDED_BY(mu_);
  // Those in the store, by serial.
  std::vector<RevokedCertificate> revoked_ ABSL_GUARDED_BY(mu_);
  std::vector<RevocationListPtr> lists_ ABSL_GUARDED_BY(mu_);  // Those published.
  std::vector<KeptList> made_ ABSL_GUARDED_BY(mu_);
  std::vector<KeptList> kept_ ABSL_GUARDED_BY(mu_);  // Those in the store.
  bool all_kept_ ABSL_GUARDED_BY(mu_) = true;
  // What made_ was made of, by serial.
  std::vector<std::string> listed_ ABSL_GUARDED_BY(mu_);
  std::vector<RevocationListPtr> others_ ABSL_GUARDED_BY(mu_);
  // Issuers of lists made that others have lists of.
  std::set<std::string> covered_ ABSL_GUARDED_BY(mu_);
  absl::Time made_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_REVOCATIONS_H_
