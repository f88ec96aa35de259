#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_KEEPER_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_KEEPER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/issuing_window.h"
#include "controlplane/ca/plugged_ca.h"
#include "controlplane/ca/revocations.h"
#include "controlplane/ca/stored_revocations.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/seal/key_seal.h"
#include "controlplane/store/store.h"
#include "controlplane/trust/root_rotation.h"
#include "controlplane/trust/stored_trust.h"

namespace byrnie {

// What the control plane signs with and whom it says to trust, wherever that comes from: its own
// roots and their rotation, or a plugged CA; and what was revoked. Has a thread of its own for what
// waits for the store. Lives on one thread but for what it hands out; the pointers outlive it.
class TrustKeeper {
 public:
  struct Options {
    std::string trust_domain;
    absl::Duration workload_ttl;
    KeySeal seal;
    // Directory of a plugged CA; empty: roots of its own.
    std::string plugged_directory;
    // As SetForeignLists.
    std::vector<RevocationListPtr> foreign_lists = {};
    // How long certificates are issued without having read the trust record, where others may
    // change it; absent: nobody else does.
    absl::optional<absl::Duration> issue_without_store;
    // The first root may be made where there is none; else it is lost.
    bool may_make_root = true;
    // Is told of records that cannot be read; may be null.
    UnreadableRecords* unreadable = nullptr;
    // Host names that the control plane's own certificates are for, which a plugged CA has to
    // permit.
    std::vector<std::string> own_names = {};
  };

  // Errors as RootRotation::LoadOrCreate, PluggedCa::Create and Revocations::Load.
  // FailedPrecondition, too, where certificates are revoked and lists that say so would refuse
  // whatever the plugged CA signs.
  static absl::StatusOr<std::unique_ptr<TrustKeeper>> Create(Store* store, Options options,
                                                             const Clock* clock, Logger* logger,
                                                             MetricRegistry* metrics);
  TrustKeeper(const TrustKeeper&) = delete;
  TrustKeeper& operator=(const TrustKeeper&) = delete;
  ~TrustKeeper();

  // Takes in what others have committed until now, before Start. Errors as the store.
  absl::Status CatchUp();
  // Begins to follow the store. `on_change` is called from any thread when Poll() is worth calling.
  void Start(FleetSource* fleet, std::function<void()> on_change);
  // Ends that: on_change is not called afterwards.
  void Stop();
  // Takes in what has changed; to be called about twice a second, and when on_change says so. True
  // when bundle() or tainted_root() may have changed.
  bool Poll();
  // What the thread does about twice a second: takes in what the store has. Blocks on the store.
  void FollowStore();

  // The bundle of the trust domain, but for the keys of JWT-SVIDs.
  TrustBundle bundle() const;
  // Why the files of a plugged CA as they are now are not what is in force; OK: they are, or there
  // are none. They are not either while certificates are revoked that its lists cannot tell of.
  absl::Status PluggedState() const;
  // A root whose certificates are to be renewed now, by its id; empty: none.
  std::string tainted_root() const { return authority_->snapshot()->tainted_root; }

  // Thread-safe, all of them.
  Authority* authority() { return authority_.get(); }
  // How long certificates are issued without hearing of the store; infinite: for ever.
  absl::Duration issuing_left() const {
    return window_ == nullptr ? absl::InfiniteDuration() : window_->Left();
  }
  // Null where the CA is plugged.
  RootRotation* rotation() { return rotation_.get(); }
  Revocations* revocations() { return revocations_.get(); }
  // FailedPrecondition where lists of ours would leave certificates of others unknown: below a
  // plugged intermediate, without its root's own list, or with one that has ended.
  absl::Status CheckMayRevoke() const;
  // The revocation lists of the trust domain that somebody else has made, as they are now.
  void SetForeignLists(std::vector<RevocationListPtr> lists);
  // Why what is revoked is not refused as it should be; OK: it is, or nothing is.
  absl::Status ListsState() const;
  // Why what is issued now is refused by the lists in force; OK: it is not.
  absl::Status IssuedState() const;
  // Whether `lists` may be those of SetForeignLists: what is signed now is accepted with them, or
  // what the plugged CA will sign that waits in the files, which is adopted then.
  // FailedPrecondition names the list that is missing. On the thread of Poll().
  absl::Status JudgeForeignLists(const std::vector<RevocationListPtr>& lists) const;
  // Those in force, and those in the files of a plugged CA that waits. On the thread of Poll().
  std::vector<CertificatePtr> KnownRoots() const;

 private:
  TrustKeeper(Store* store, Options options, const Clock* clock, Logger* logger);
  // Takes what the files of the plugged CA say into force, where nothing is against it.
  void AdoptPlugged();
  // Forgets those whose certificates have all ended; true where there were some.
  bool ForgetFormers();
  absl::Status CheckIsVouchedFor(const SigningAuthority& signer) const;
  // JudgeForeignLists, where `next` is published with them.
  absl::Status CheckSuffice(const std::vector<RevocationListPtr>& lists,
                            const AuthoritySnapshot& next) const;
  // Whether lists are in force, so that each certificate needs one of its issuer.
  bool NeedsLists() const;
  // Why the plugged CA cannot be used while there are lists, and what to do.
  absl::Status InFilesOfPlugged(const absl::Status& why) const;
  // Says whether the trust record can be followed.
  void TellOfTrustRecord();

  const Options options_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  StoredTrust stored_trust_;
  StoredRevocations stored_revocations_;
  std::unique_ptr<IssuingWindow> window_;
  std::unique_ptr<RootRotation> rotation_;
  std::unique_ptr<PluggedCa> plugged_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<Revocations> revocations_;
  std::function<void()> on_change_ = [] {};
  // Over what is published and the lists that go with it, which two threads make.
  mutable absl::Mutex lists_mu_;
  mutable absl::Mutex mu_ ABSL_ACQUIRED_AFTER(lists_mu_);
  bool lists_changed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<RevocationListPtr> foreign_lists_ ABSL_GUARDED_BY(mu_);
  absl::Status lists_made_ ABSL_GUARDED_BY(mu_);
  struct Former {
    SigningAuthorityPtr authority;
    absl::Duration replaced_at;  // Monotonic.
  };
  // Authorities of a plugged CA that were replaced, as long as what they signed may be in use:
  // their lists can still be made.
  std::vector<Former> formers_;
  // What the files of the plugged CA said when they were in force last, and why they are not now.
  AuthoritySnapshotPtr adopted_;
  absl::Status not_adopted_;
  std::string complaint_;  // What the thread logged last.
  AuthoritySnapshotPtr published_;
  std::unique_ptr<PeriodicThread> thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_KEEPER_H_
