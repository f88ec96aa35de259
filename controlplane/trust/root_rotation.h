#ifndef BYRNIE_CONTROLPLANE_TRUST_ROOT_ROTATION_H_
#define BYRNIE_CONTROLPLANE_TRUST_ROOT_ROTATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "controlplane/ca/issuing_window.h"
#include "controlplane/ca/settled_time.h"
#include "controlplane/ca/signing_authority.h"
#include "controlplane/seal/key_seal.h"
#include "controlplane/trust/rotation_steps.h"
#include "controlplane/trust/trust_store.h"

namespace byrnie {

// Where a rotation stands, for who looks at the fleet.
struct RotationStanding {
  // The id of the root that agents are asked to trust; empty: none.
  std::string next_root;
  // Of the trust record.
  int64_t revision = 0;
};

// What is known about the fleet now. Thread-safe; may block on the store.
class FleetSource {
 public:
  virtual ~FleetSource() = default;
  // `now` is the time that gates go by, here and below: RootRotation::GateTime.
  virtual FleetView View(const RotationStanding& standing, absl::Time now) = 0;
  // This process signs and publishes by that from now on. Said again and again.
  virtual void Follow(const RotationStanding&, absl::Time) {}
};

// A root, as it may be shown.
struct RootInfo {
  std::string id, subject;
  absl::Time not_after;
  bool trusted = false, signs = false, tainted = false;
};

// Where trust stands, and what comes next.
struct RotationStatus {
  std::vector<RootInfo> roots;  // The current one, then the next.
  // Absent: no rotation is under way.
  absl::optional<RotationStep> step;
  absl::Time since;
  bool automatic = false;
  std::vector<RotationExclusion> exclusions;
  // Of the move asked about: the next one forward unless another was named.
  RotationMove move;
  std::string consequence;
  std::vector<RotationBlocker> blockers;
  // Whether that move was made by the call that returns this.
  bool moved = false;
};

// The self-signed roots of a trust domain and the moves between them (rotation_steps.h), as
// operators order them and as the store has them. Thread-safe; the calls that may write block on
// the store. The pointers outlive it.
//
// Every move is one commit of the trust record; what the process signs with and publishes follows
// from the record that was committed last, so that a process which dies anywhere does, once it is
// back, what the record says. Of several processes with one store each may make a move, and the
// others follow with Refresh().
//
// What gates wait for has ended when a clock says so that has not jumped lately (SettledTime):
// there is no way back from what a clock that is wrong for a moment would open. That time is kept
// in the store every minute, and a process that starts goes on from there, unless that was just
// now: so it gets on also where no process lives for an hour. Without one, of an older store, it
// goes on from the last move of the rotation that is under way.
class RootRotation {
 public:
  static constexpr absl::Duration kRootLifetime = absl::Hours(24 * 3652);
  // How far certificates are valid before they are made, for clocks that are behind.
  static constexpr absl::Duration kBackdate = absl::Seconds(60);

  struct Options {
    std::string trust_domain;
    // No certificate lives longer.
    absl::Duration workload_ttl;
    KeySeal seal;
    // Told when the record in the store is known to be the one that is followed. May be null.
    IssuingWindow* window = nullptr;
  };

  struct Request {
    // Absent: all moves up to revoke, each when its gate opens; the first at once.
    absl::optional<RotationMove> move;
    // Whom this one move is not to wait for, as RotationExclusion::agent has it. Each has to be one
    // that keeps the move back.
    std::vector<std::string> exclusions;
    // Who asks, for the record and the log.
    std::string by;
    // Only say what it would do.
    bool dry_run = false;
  };

  // Takes the trust record of the store, or makes the first root. `legacy`, where given, is a root
  // of before there were trust records, to begin with. FailedPrecondition when the record is of
  // another trust domain, its keys cannot be opened or the root that signs has expired; errors of
  // the store.
  static absl::StatusOr<std::unique_ptr<RootRotation>> LoadOrCreate(
      TrustStore* store, Options options, const Clock* clock, Logger* logger,
      const absl::optional<RootRecord>& legacy = absl::nullopt);

  // What this process is to sign with and to publish.
  AuthoritySnapshotPtr snapshot() const;
  // `fleet` is asked before every move from then on; until then nobody is known, and moves that
  // have a gate are refused. `on_change` is called, on the thread that caused it, when snapshot()
  // has changed. To be called once; Status() may be asked already.
  void Start(FleetSource* fleet, std::function<void()> on_change);

  // Every certificate issued from then on is in the log of issuances.
  absl::Time logged_since() const;
  // No certificate that is valid lives longer.
  absl::Duration LongestLife() const;
  // Where the rotation stands; absent: none is under way.
  absl::optional<RotationStep> step() const;
  // What is, and what keeps the next move back (or the rollback, where `rollback`).
  RotationStatus Status(bool rollback = false) const;
  // Makes a move, or says what it would mean. FailedPrecondition: it is not its turn, or something
  // keeps it back, which the message names in part and Status() in full. InvalidArgument: an
  // exclusion that is nobody's who does. Aborted: another process was faster; look and ask again.
  // Unavailable: the store; nothing has changed.
  absl::StatusOr<RotationStatus> Rotate(const Request& request);

  RotationStanding standing() const;
  // What gates go by: the wall clock, or less.
  absl::Time GateTime() const { return ReadTime().now; }

  // Takes in what other processes have committed, and makes the next move of an automatic rotation
  // when its gate is open. To be called about twice a second. Errors as the store; what there is
  // stays.
  absl::Status Refresh();
  // What came of looking at the store's trust record last; FailedPrecondition: it cannot be
  // followed, and what was in force stays. Errors of the store are not kept.
  absl::Status followed() const;

 private:
  struct State {
    TrustRecord record;
    int64_t revision = 0;
    AuthoritySnapshotPtr snapshot;
  };
  using StatePtr = std::shared_ptr<const State>;

  RootRotation(TrustStore* store, Options options, const Clock* clock, Logger* logger)
      : store_(store), options_(std::move(options)), clock_(clock), logger_(logger) {}

  absl::Status Load(const absl::optional<RootRecord>& legacy);
  // Begins to tell the time. Errors as the store.
  absl::Status StartTime(const absl::optional<TrustStore::Versioned>& found);
  // Writes down the time for the next process, once in a while.
  void KeepTime() ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  // Takes in what the store has.
  absl::Status TakeIn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  absl::Status TryTakeIn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  // Makes the next move of an automatic rotation when its gate is open.
  absl::Status MoveIfOpen() ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  absl::StatusOr<RootRecord> MakeRoot(uint32_t number) const;
  // Seals anew what is not sealed as it should be; true when that changed the record.
  absl::StatusOr<bool> Reseal(RootRecord* root) const;
  absl::StatusOr<SigningAuthorityPtr> Open(const RootRecord& root) const;
  absl::StatusOr<AuthoritySnapshotPtr> SnapshotOf(const TrustRecord& record) const;
  StatePtr state() const;
  FleetSource* fleet() const;  // Null before Start.
  FleetView Fleet(absl::Time now) const;
  SettledTime::Reading ReadTime() const;
  // Those that keep `move` back, and where a clock has jumped, that it has.
  std::vector<RotationBlocker> BlockersNow(const TrustRecord& record, RotationMove move) const;
  RotationStatus StatusOf(const TrustRecord& record, RotationMove move) const;
  absl::Status Commit(TrustRecord record, int64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  absl::Status Take(TrustStore::Versioned found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);
  absl::StatusOr<TrustRecord> WithExclusions(const TrustRecord& record, RotationMove move,
                                             const Request& request) const;
  absl::Status Move(const TrustRecord& record, int64_t revision, RotationMove move, bool automatic,
                    const std::string& by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(moving_);

  TrustStore* const store_;  // Not owned.
  const Options options_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  std::function<void()> on_change_;
  // One move at a time; held over the store's calls.
  mutable absl::Mutex moving_;
  // When the log next says that an automatic rotation waits; monotonic.
  absl::Duration next_report_ ABSL_GUARDED_BY(moving_) = -absl::InfiniteDuration();
  // When the time is next looked at, whether it is to be kept; monotonic.
  absl::Duration next_keep_ ABSL_GUARDED_BY(moving_) = -absl::InfiniteDuration();
  mutable absl::Mutex mu_ ABSL_ACQUIRED_AFTER(moving_);
  StatePtr state_ ABSL_GUARDED_BY(mu_);
  mutable absl::optional<SettledTime> time_ ABSL_GUARDED_BY(mu_);
  absl::Status followed_ ABSL_GUARDED_BY(mu_);
  FleetSource* fleet_ ABSL_GUARDED_BY(mu_) = nullptr;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_ROOT_ROTATION_H_
