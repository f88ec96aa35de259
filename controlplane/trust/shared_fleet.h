#ifndef BYRNIE_CONTROLPLANE_TRUST_SHARED_FLEET_H_
#define BYRNIE_CONTROLPLANE_TRUST_SHARED_FLEET_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/authority.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/store.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/fleet_report.h"
#include "controlplane/trust/peer_clocks.h"
#include "controlplane/trust/root_rotation.h"
#include "controlplane/trust/setting_digests.h"
#include "controlplane/trust/trust_digest.h"

namespace byrnie {

// The fleet as all control planes of one store see it together. Each writes a report (FleetReport)
// of the agents connected to it; a gate of a rotation is shut while another one
//   - has not said that it signs and publishes by the present trust record. One that is silent is
//     waited for until all it may have issued without knowing has ended: for as long as it issues
//     without the store (IssuingWindow), and a certificate's life;
//   - has agents connected without the next root, as it said last. When it has been silent for
//     kSilent, they are agents that are connected nowhere, and are waited for by their
//     certificates.
//   - has another clock than this one (PeerClocks): times of either are not to be relied on then.
//     Of one that says nothing more the end is counted from its last word, by the monotonic clock.
//   - has a file of the trust bundle that may lack the next root (BundleFile), until it is silent;
//   - has a plugged CA, which follows no rotation.
// With a plugged CA there are no gates; reports are written all the same, so that each knows of the
// others, and whether they trust the same roots (TrustDigest).
//
// What cannot be read shuts gates, too: for good, until somebody mends or deletes it, or an
// operator excludes that control plane. Thread-safe; blocks on the store; the pointers outlive it.
class SharedFleet final : public FleetSource {
 public:
  // How often a report is written that says nothing new, and how often at most one that does.
  static constexpr absl::Duration kBeat = absl::Minutes(1);
  static constexpr absl::Duration kShortestInterval = absl::Seconds(1);
  static constexpr absl::Duration kSilent = absl::Minutes(3);

  struct Options {
    // What this control plane is called; no other one of the store that runs is called so.
    std::string name;
    // Of this process, unlike all others'.
    std::string instance;
    // How long this process issues without having read the trust record.
    absl::Duration issues_without_store;
    // Is told of reports that cannot be read; may be null.
    UnreadableRecords* unreadable = nullptr;
    // What is signed with, and whether that CA is plugged. Null: others are not told, nor compared.
    const Authority* authority = nullptr;
    bool plugged = false;
  };

  // `log` may be null.
  SharedFleet(ConnectedFleet* own, Store* store, const IssuanceLog* log, Options options,
              const Clock* clock, Logger* logger)
      : own_(own),
        reports_(store),
        log_(log),
        options_(std::move(options)),
        clock_(clock),
        logger_(logger) {}

  // Whether one with a plugged CA may begin to serve beside those that run. FailedPrecondition
  // names one whose certificates its agents would refuse, and what to do; errors as the store.
  static absl::Status CheckMayJoin(Store* store, const std::string& name, const TrustDigest& trust,
                                   absl::Time now);

  // What others are told of this one's flags from the next report on.
  void SetSettings(SettingDigests settings);

  // Makes itself known, before the first agent is served; and takes the place of an earlier process
  // of the same name, which has ended. Errors as the store.
  absl::Status Join(const RotationStanding& standing);
  // Takes itself back, after the last agent was served.
  void Leave();

  // Another control plane of the store.
  struct Peer {
    std::string name;
    // When it last said how things are, by this clock, which one that runs does once every kBeat at
    // least.
    absl::Time heard_of;
    // That is longer ago than kSilent.
    bool silent = false;
    // How far this clock is ahead of its clock, or behind where it is negative; absent: it is not,
    // as far as is known.
    absl::optional<absl::Duration> ahead = absl::nullopt;
    // Where it does not sign and trust as this one does, as far as is known.
    TrustDifference trust = {};
    // Flags that say something else there, sorted.
    std::vector<std::string> settings = {};
    // As FleetReport's: two may have one name.
    std::string instance = {};
  };
  // Those that run, or may have issued what has not ended yet, by name. One that begins to sign or
  // to trust otherwise is logged. Errors as the store.
  absl::StatusOr<std::vector<Peer>> Peers(absl::Time now);
  // The names of the others that were heard of within kSilent, sorted: agents may be connected to
  // them. Errors as the store.
  absl::StatusOr<std::vector<std::string>> Others(absl::Time now);

  FleetView View(const RotationStanding& standing, absl::Time now) override;
  void Follow(const RotationStanding& standing, absl::Time now) override;

 private:
  // All reports, and those that cannot be read.
  struct Reports {
    std::vector<FleetReport> all;
    std::vector<UnreadableReport> unreadable;
  };
  absl::StatusOr<Reports> List();
  // As PeerClocks.
  std::string Doubt(const FleetReport& report) const;
  absl::optional<absl::Duration> Ahead(const FleetReport& report) const;
  absl::Time HeardOf(const FleetReport& report) const;
  FleetReport OwnReport(const RotationStanding& standing, absl::Time now) const;
  // Whether nothing is left of what it has done.
  bool HasEnded(const FleetReport& report, absl::Time now) const;
  absl::Time EndOf(const FleetReport& report) const;
  void AddReport(const FleetReport& report, const RotationStanding& standing, absl::Time now,
                 FleetView* view) const;
  // Has the log read again when somebody may have written to its past.
  void NoteLateIssuances(const std::vector<FleetReport>& reports);
  // Where this one's report is not there, sees to it that it is written anew; and says so where
  // another process has put its own in that place.
  void CheckIsThere(const Reports& reports);
  // What is to be done about the reports of others once in a while.
  void TidyUp(absl::Time now);
  // Logs what is new about their roots, and forgets what was logged of others.
  void TellOfTrust(const std::vector<Peer>& peers);
  TrustDigest OwnTrust() const;

  ConnectedFleet* const own_;  // Not owned.
  StoredFleetReports reports_;
  const IssuanceLog* const log_;  // Not owned; may be null.
  const Options options_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  mutable absl::Mutex mu_;
  SettingDigests settings_ ABSL_GUARDED_BY(mu_);
  // As it is in the store; absent: it is to be written.
  absl::optional<FleetReport> written_ ABSL_GUARDED_BY(mu_);
  absl::Duration written_at_ ABSL_GUARDED_BY(mu_);  // Monotonic.
  PeerClocks clocks_ ABSL_GUARDED_BY(mu_){kBeat, kBeat + PeerClocks::kMost};
  // What was logged about others' roots.
  struct Told {
    std::string name, text;
  };
  std::map<std::string, Told> told_ ABSL_GUARDED_BY(mu_);  // By instance.
  // By instance, as they were seen last.
  std::map<std::string, uint32_t> late_issuances_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_SHARED_FLEET_H_
