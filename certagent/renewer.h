#ifndef BYRNIE_CERTAGENT_RENEWER_H_
#define BYRNIE_CERTAGENT_RENEWER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/ca_client.h"
#include "certagent/key_custodian.h"
#include "certagent/proof_order.h"
#include "certagent/renewal_schedule.h"
#include "common/base/clock_offset.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"
#include "common/identity/identity_snapshot.h"
#include "common/identity/spiffe_id.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/repeat_filter.h"

namespace byrnie {

// Keeps the workload's certificate fresh: makes a key, asks the authority, checks the answer and
// publishes it, again and again. A certificate that is valid is never given up for one that is not:
// whatever fails is counted, logged and tried again, and the present snapshot stays. Lives on the
// agent's loop.
//
// States: waiting (for the time to renew or to repeat) ↔ issuing (one call under way). When the
// next attempt begins is RenewalSchedule's business; both clocks are looked at every second, so
// that a suspended machine or a clock that was set is noticed at once.
//
// Trust bundles are published together with the chain. Of a set that does not verify the present
// chain (its root was withdrawn) all comes into force at once but the withdrawal of that one root,
// and a renewal is begun, with which the rest follows. A set is acknowledged when the proxy, where
// there is one, has it in force; after a renewal again, when it has the new certificate, too.
class Renewer {
 public:
  struct Options {
    // Of the workload. Certificates of another trust domain are refused.
    std::string trust_domain;
    // The identity certificates must have; absent: that of the first certificate.
    absl::optional<SpiffeId> expected_id;
    // What to prove ourselves with, the preferred first.
    std::vector<Proof> proofs = {Proof::kSvid, Proof::kToken};
    // What is asked for; zero: the authority's cap.
    absl::Duration ttl;
    // Trusted until the authority sends bundles.
    TrustBundleSet bundles;
    // Uniform in [0, 1).
    std::function<double()> random;
    // Whether somebody uses the snapshots who will say so by OnInForce; null: nobody.
    std::function<bool()> has_proxy;
  };

  // Runs in the turn a snapshot comes into force; `rotated` tells a new certificate from new
  // bundles for the old one.
  using PublishCallback = absl::AnyInvocable<void(const IdentitySnapshotPtr&, bool rotated)>;

  // All pointers outlive the renewer.
  Renewer(EventLoop* loop, CaClient* ca, KeyCustodian* custodian, Logger* log,
          MetricRegistry* metrics, Options options, PublishCallback on_publish);
  Renewer(const Renewer&) = delete;
  Renewer& operator=(const Renewer&) = delete;
  ~Renewer();

  // Begins with the first certificate.
  void Start();
  // Renews now instead of later; false when an attempt is already under way.
  bool RenewNow();
  // New bundles from the authority, or why they are broken.
  void OnTrustBundles(absl::StatusOr<TrustBundleUpdate> update);
  // The proxy has the snapshot of `generation` in force, and all before it.
  void OnInForce(uint64_t generation);
  // There is no proxy any more that could say so.
  void OnProxyGone() { OnInForce(generation_); }
  // Revocation lists of this agent's own, in force beside those of the authority's bundles.
  void SetRevocationLists(RevocationListMap lists);

  // Null before the first certificate. May have expired: see HasValidCertificate.
  const IdentitySnapshotPtr& snapshot() const { return snapshot_; }
  // The present certificate with its key, for the agent's own calls; null before the first.
  const ClientIdentityPtr& identity() const { return identity_; }
  bool HasValidCertificate() const;
  bool issuing() const { return pending_key_ != nullptr; }
  // When the next attempt begins at the latest.
  absl::Time next_attempt() const { return schedule_.next_attempt(); }
  int failures_in_a_row() const { return schedule_.failures_in_a_row(); }
  // Why the latest attempt failed; OK after a success.
  const absl::Status& last_error() const { return last_error_; }
  // Version of the bundles published; 0 for those given at start.
  uint64_t bundle_version() const { return bundle_version_; }
  // How far the authority's clock is ahead of ours, by the latest exchange; absent when it has not
  // told its time.
  absl::optional<absl::Duration> authority_clock_offset() const { return clock_offset_.value(); }
  // Until the first certificate of the chain ends; negative when it has. Absent before the first.
  absl::optional<absl::Duration> outage_budget() const;

 private:
  void Tick();
  void ScheduleTick();
  void NoticeClockJump();
  void Attempt();
  void OnIssued(absl::StatusOr<IssuedCertificate> result);
  // Everything that must hold before anybody sees the certificate.
  absl::StatusOr<IdentitySnapshotPtr> Validate(const CertificateChain& chain, const PrivateKey& key,
                                               const TrustBundleSet& bundles) const;
  RenewalSchedule::Instant Now() const { return {loop_->WallNow(), loop_->Now()}; }
  void Fail(absl::Status why);
  // With what is known of the clocks, which may be why.
  absl::Status WithClockHint(const absl::Status& why) const;
  // The authority's window as our clock will see it.
  absl::optional<RenewalWindow> ByOurClock(absl::optional<RenewalWindow> window) const;
  // A snapshot of the chain with the bundles and our own revocation lists.
  absl::StatusOr<IdentitySnapshotPtr> MakeSnapshot(const CertificateChain& chain,
                                                   const TrustBundleSet& bundles) const;
  // `bundles` as the authority sent them.
  void Publish(IdentitySnapshotPtr snapshot, const TrustBundleSet& bundles, bool rotated);
  // Asks for another certificate when the bundles in force revoke the present one.
  void ReplaceRevoked();
  // Renews sooner, at a random time, when the root of the present certificate is to go. The time is
  // within what the authority wants, or `at_least` where that is longer.
  void RenewIfTainted(absl::Duration at_least);
  void OnBundlesPublished(uint64_t version);
  void AcknowledgeBundles();
  // Publishes what can be published of a set that does not verify the present chain.
  void PublishWithOwnRoot(const TrustBundleSet& bundles);
  void Withhold(absl::optional<TrustBundleUpdate> update);
  absl::Status CheckBundles(const absl::StatusOr<TrustBundleUpdate>& update) const;

  EventLoop* const loop_;          // Not owned.
  CaClient* const ca_;             // Not owned.
  KeyCustodian* const custodian_;  // Not owned.
  Logger* const log_;              // Not owned.
  Options options_;
  PublishCallback on_publish_;
  const std::unique_ptr<EventLoop::Timer> tick_;

  IdentitySnapshotPtr snapshot_;
  ClientIdentityPtr identity_;
  TrustBundleSet bundles_;  // As the authority sent them.
  std::vector<TaintedRoot> tainted_roots_;
  RevocationListMap revocation_lists_;
  uint64_t bundle_version_ = 0;
  // Of the snapshot that bundle_version_ or the certificate came with, until the proxy has that in
  // force.
  absl::optional<uint64_t> unacknowledged_;
  // Bundles that do not verify the present chain; what is missing of them comes into force with the
  // next one.
  absl::optional<TrustBundleUpdate> withheld_bundles_;
  uint64_t generation_ = 0;

  RenewalSchedule schedule_;
  ProofOrder proofs_;
  std::shared_ptr<const PrivateKey> pending_key_;  // Set while issuing.
  absl::Duration pending_since_;                   // Monotonic.
  Proof proof_ = Proof::kToken;                    // Of the call under way, or the latest.
  absl::Status last_error_;
  RepeatFilter failures_said_;
  ClockOffset clock_offset_;

  Counter* renewed_;
  Counter* failed_issue_;
  Counter* failed_validation_;
  Counter* bundles_applied_;
  Counter* bundles_rejected_;
  Gauge* bundles_withheld_;
  Counter* clock_jumps_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_RENEWER_H_
