#include "certagent/renewer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry_after.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_root.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
// An authority that taints a root and goes on signing with it is not asked again at once.
constexpr absl::Duration kAgainTainted = absl::Minutes(1);

constexpr char kRenewals[] = "byrnie_certagent_renewals_total";
constexpr char kRenewalsHelp[] = "Attempts to get a certificate, by result.";
constexpr char kBundles[] = "byrnie_certagent_trust_bundle_updates_total";
constexpr char kBundlesHelp[] = "Trust bundles received, by result.";

}  // namespace

Renewer::Renewer(EventLoop* loop, CaClient* ca, KeyCustodian* custodian, Logger* log,
                 MetricRegistry* metrics, Options options, PublishCallback on_publish)
    : loop_(loop),
      ca_(ca),
      custodian_(custodian),
      log_(log),
      options_(std::move(options)),
      on_publish_(std::move(on_publish)),
      tick_(loop->NewTimer([this] { Tick(); })),
      bundles_(options_.bundles),
      schedule_(options_.random),
      proofs_(options_.proofs),
      renewed_(metrics->AddCounter(kRenewals, kRenewalsHelp, {{"result", "renewed"}})),
      failed_issue_(metrics->AddCounter(kRenewals, kRenewalsHelp, {{"result", "issue_failed"}})),
      failed_validation_(metrics->AddCounter(kRenewals, kRenewalsHelp, {{"result", "rejected"}})),
      bundles_applied_(metrics->AddCounter(kBundles, kBundlesHelp, {{"result", "applied"}})),
      bundles_rejected_(metrics->AddCounter(kBundles, kBundlesHelp, {{"result", "rejected"}})),
      bundles_withheld_(metrics->AddGauge("byrnie_certagent_trust_bundle_withheld",
                                          "1 while the latest trust bundles are in force but for "
                                          "the withdrawal of the root that the "
                                          "present certificate needs.")),
      clock_jumps_(metrics->AddCounter("byrnie_certagent_clock_jumps_total",
                                       "Times the wall clock was set or the machine suspended.")) {}

Renewer::~Renewer() = default;

void Renewer::Start() {
  DCHECK(loop_->InLoopThread());
  schedule_.NoticeClockJump(Now());
  Attempt();
  ScheduleTick();
}

bool Renewer::RenewNow() {
  DCHECK(loop_->InLoopThread());
  if (issuing()) return false;
  Attempt();
  return true;
}

bool Renewer::HasValidCertificate() const {
  if (snapshot_ == nullptr) return false;
  const absl::Time now = loop_->WallNow();
  return snapshot_->leaf().not_before() <= now && now < snapshot_->not_after();
}

absl::optional<absl::Duration> Renewer::outage_budget() const {
  if (snapshot_ == nullptr) return absl::nullopt;
  return snapshot_->not_after() - loop_->WallNow();
}

void Renewer::Tick() {
  NoticeClockJump();
  if (!issuing() && schedule_.Due(Now())) Attempt();
  ScheduleTick();
}

void Renewer::ScheduleTick() {
  const absl::Duration delay = issuing() ? kTick : std::min(kTick, schedule_.UntilDue(Now()));
  // Rounded up: timers count whole nanoseconds, and one that fires a fraction too early would find
  // nothing due and be scheduled for the same time again.
  tick_->Schedule(absl::Ceil(std::max(delay, absl::ZeroDuration()), absl::Milliseconds(1)));
}

void Renewer::NoticeClockJump() {
  const absl::Duration jump = schedule_.NoticeClockJump(Now());
  if (jump == absl::ZeroDuration()) return;
  clock_jumps_->Increment();
  clock_offset_.OnJump(jump);
  log_->Warning("the wall clock jumped", {{"by", absl::FormatDuration(jump)}});
  // A schedule made by a clock that was wrong says nothing: a certificate from before its own
  // beginning was dated by another clock, and one attempt now is cheap whatever the present
  // back-off.
  if (snapshot_ != nullptr && !HasValidCertificate()) schedule_.Hasten(Now());
}

void Renewer::Attempt() {
  absl::StatusOr<std::shared_ptr<const PrivateKey>> key = PrivateKey::Generate();
  if (!key.ok()) return Fail(key.status());
  absl::StatusOr<std::string> csr =
      CreateCsr(**key, options_.expected_id.has_value() ? options_.expected_id->text() : "");
  if (!csr.ok()) return Fail(csr.status());
  pending_key_ = *std::move(key);
  pending_since_ = loop_->Now();
  proof_ = proofs_.Choose(identity_ != nullptr, HasValidCertificate());
  ca_->Issue(*std::move(csr), options_.ttl, proof_ == Proof::kSvid ? identity_ : nullptr,
             [this](absl::StatusOr<IssuedCertificate> result) { OnIssued(std::move(result)); });
}

void Renewer::OnIssued(absl::StatusOr<IssuedCertificate> result) {
  DCHECK(loop_->InLoopThread());
  std::shared_ptr<const PrivateKey> key = std::move(pending_key_);
  pending_key_ = nullptr;
  if (!result.ok()) {
    failed_issue_->Increment();
    proofs_.OnFailed(result.status());
    return Fail(WithClockHint(result.status()));
  }
  if (result->authority_time.has_value()) {
    clock_offset_.OnExchange(loop_->Now() - pending_since_, loop_->WallNow(),
                             *result->authority_time);
  }
  // The newest bundles that verify the chain: those of the answer, those withheld, those in force.
  std::vector<const TrustBundleUpdate*> candidates;
  if (result->trust_bundles.has_value()) {
    absl::Status usable = CheckBundles(*result->trust_bundles);
    if (usable.ok()) {
      candidates.push_back(&**result->trust_bundles);
    } else {
      bundles_rejected_->Increment();
      log_->Warning("trust bundles rejected", {{"reason", usable.message()}});
    }
  }
  if (withheld_bundles_.has_value()) candidates.push_back(&*withheld_bundles_);
  const TrustBundleUpdate in_force{bundle_version_, bundles_, tainted_roots_};
  candidates.push_back(&in_force);
  absl::StatusOr<IdentitySnapshotPtr> snapshot = absl::InternalError("no bundles");
  absl::Status first_error;
  const TrustBundleUpdate* chosen = nullptr;
  for (const TrustBundleUpdate* candidate : candidates) {
    snapshot = Validate(result->chain, *key, candidate->bundles);
    chosen = candidate;
    if (snapshot.ok()) break;
    first_error.Update(snapshot.status());
  }
  if (!snapshot.ok()) {
    failed_validation_->Increment();
    return Fail(WithClockHint(first_error));
  }

  const IdentitySnapshot& fresh = **snapshot;
  if (!options_.expected_id.has_value()) options_.expected_id = fresh.id();
  custodian_->Install(fresh.leaf(), key);
  identity_ = std::make_shared<const ClientIdentity>(ClientIdentity{fresh.chain(), std::move(key)});
  failures_said_.Reset();
  proofs_.OnIssued();
  last_error_ = absl::OkStatus();
  schedule_.OnIssued(Now(), fresh.not_after(), ByOurClock(result->renewal_window));
  ScheduleTick();
  renewed_->Increment();
  log_->Info("certificate rotated", {{"serial", fresh.leaf().SerialHex()},
                                     {"spiffe_id", fresh.id().text()},
                                     {"not_after", UtcText(fresh.not_after())},
                                     {"generation", fresh.generation()},
                                     {"renew_at", UtcText(next_attempt())}});
  const uint64_t version = chosen->version;
  tainted_roots_ = std::vector<TaintedRoot>(chosen->tainted_roots);
  Publish(*std::move(snapshot), TrustBundleSet(chosen->bundles), /*rotated=*/true);
  if (version != bundle_version_) {
    OnBundlesPublished(version);
  } else if (bundle_version_ != 0 && options_.has_proxy && options_.has_proxy()) {
    // To be said with the new certificate when the proxy has left the one before.
    unacknowledged_ = generation_;
  }
  RenewIfTainted(kAgainTainted);
}

absl::Status Renewer::WithClockHint(const absl::Status& why) const {
  const std::string hint = ClockOffsetHint(clock_offset_.value());
  if (hint.empty()) return why;
  absl::Status hinted(why.code(), absl::StrCat(why.message(), "; ", hint));
  if (absl::optional<absl::Duration> wait = RetryAfter(why)) SetRetryAfter(&hinted, *wait);
  return hinted;
}

absl::optional<RenewalWindow> Renewer::ByOurClock(absl::optional<RenewalWindow> window) const {
  const absl::Duration ahead = clock_offset_.value().value_or(absl::ZeroDuration());
  if (window.has_value()) window = RenewalWindow{window->start - ahead, window->end - ahead};
  return window;
}

absl::StatusOr<IdentitySnapshotPtr> Renewer::Validate(const CertificateChain& chain,
                                                      const PrivateKey& key,
                                                      const TrustBundleSet& bundles) const {
  if (chain.empty() || !chain.front()->MatchesKey(key)) {
    return absl::InvalidArgumentError("the certificate is not for the key that was sent");
  }
  ASSIGN_OR_RETURN(IdentitySnapshotPtr snapshot, MakeSnapshot(chain, bundles));
  if (snapshot->id().trust_domain() != options_.trust_domain) {
    return absl::PermissionDeniedError(absl::StrCat("the certificate is for ",
                                                    snapshot->id().text(), ", not of trust domain ",
                                                    options_.trust_domain));
  }
  if (options_.expected_id.has_value() && snapshot->id() != *options_.expected_id) {
    return absl::PermissionDeniedError(absl::StrCat("the certificate is for ",
                                                    snapshot->id().text(), ", expected ",
                                                    options_.expected_id->text()));
  }
  return snapshot;
}

absl::StatusOr<IdentitySnapshotPtr> Renewer::MakeSnapshot(const CertificateChain& chain,
                                                          const TrustBundleSet& bundles) const {
  ASSIGN_OR_RETURN(TrustBundleSet all, WithRevocationLists(bundles, revocation_lists_));
  return IdentitySnapshot::Create(generation_ + 1, chain, std::move(all), loop_->WallNow(),
                                  clock_offset_.value());
}

void Renewer::Fail(absl::Status why) {
  absl::optional<absl::Time> not_after;
  if (snapshot_ != nullptr) not_after = snapshot_->not_after();
  const absl::Duration delay = schedule_.OnFailed(Now(), not_after, RetryAfter(why));
  ClearRetryAfter(&why);
  last_error_ = std::move(why);
  ScheduleTick();
  const std::string reason = last_error_.ToString();
  const absl::optional<uint64_t> unsaid = failures_said_.Admit(reason, loop_->Now());
  log_->Log(unsaid.has_value() ? LogLevel::kWarning : LogLevel::kDebug, "certificate not renewed",
            {{"reason", reason},
             {"proof", ProofName(proof_)},
             {"failures", failures_in_a_row()},
             {"not_logged", unsaid.value_or(0)},
             {"retry_in", absl::FormatDuration(delay)},
             {"present_certificate", snapshot_ == nullptr    ? "none"
                                     : HasValidCertificate() ? "valid"
                                                             : "expired"}});
}

void Renewer::Publish(IdentitySnapshotPtr snapshot, const TrustBundleSet& bundles, bool rotated) {
  generation_ = snapshot->generation();
  snapshot_ = std::move(snapshot);
  bundles_ = bundles;
  on_publish_(snapshot_, rotated);
}

void Renewer::ReplaceRevoked() {
  SvidDefect defect;
  const absl::Status revoked =
      VerifySvid(snapshot_->chain(), snapshot_->bundles(), loop_->WallNow(), &defect).status();
  if (defect != SvidDefect::kRevoked) return;
  log_->Error("our own certificate is revoked, asking for another",
              {{"reason", revoked.message()}});
  RenewNow();
}

void Renewer::RenewIfTainted(absl::Duration at_least) {
  if (tainted_roots_.empty()) return;
  const CertificatePtr own =
      RootOf(snapshot_->chain(), snapshot_->bundles(), options_.trust_domain, loop_->WallNow());
  // One that is not valid is being replaced anyway.
  if (own == nullptr) return;
  const std::string root = own->FingerprintHex();
  for (const TaintedRoot& tainted : tainted_roots_) {
    if (tainted.id != root) continue;
    schedule_.HastenWithin(Now(), std::max(tainted.renew_within, at_least));
    ScheduleTick();
    log_->Info("the root of our own certificate is about to go, renewing",
               {{"root", root}, {"renew_at", UtcText(next_attempt())}});
  }
}

void Renewer::SetRevocationLists(RevocationListMap lists) {
  DCHECK(loop_->InLoopThread());
  revocation_lists_ = std::move(lists);
  if (snapshot_ == nullptr) return;
  absl::StatusOr<IdentitySnapshotPtr> snapshot = MakeSnapshot(snapshot_->chain(), bundles_);
  if (!snapshot.ok()) {
    // They come into force with the next certificate.
    log_->Warning("revocation lists not in force yet", {{"reason", snapshot.status().message()}});
    return;
  }
  if ((*snapshot)->bundles() == snapshot_->bundles()) return;
  Publish(*std::move(snapshot), TrustBundleSet(bundles_), /*rotated=*/false);
  ReplaceRevoked();
}

void Renewer::OnBundlesPublished(uint64_t version) {
  bundle_version_ = version;
  Withhold(absl::nullopt);
  bundles_applied_->Increment();
  log_->Info("trust bundles published", {{"version", version}});
  unacknowledged_ = generation_;
  if (!options_.has_proxy || !options_.has_proxy()) AcknowledgeBundles();
}

void Renewer::OnInForce(uint64_t generation) {
  DCHECK(loop_->InLoopThread());
  if (unacknowledged_.has_value() && generation >= *unacknowledged_) AcknowledgeBundles();
}

void Renewer::AcknowledgeBundles() {
  unacknowledged_.reset();
  ca_->AcknowledgeTrustBundles(bundle_version_);
}

void Renewer::Withhold(absl::optional<TrustBundleUpdate> update) {
  withheld_bundles_ = std::move(update);
  bundles_withheld_->Set(withheld_bundles_.has_value() && snapshot_ != nullptr ? 1 : 0);
}

void Renewer::PublishWithOwnRoot(const TrustBundleSet& bundles) {
  const TrustBundle* before = bundles_.Find(options_.trust_domain);
  if (before == nullptr) return;
  for (const CertificatePtr& root : before->roots) {
    TrustBundleMap with_root = bundles.bundles();
    with_root[options_.trust_domain].roots.push_back(root);
    absl::StatusOr<TrustBundleSet> set = TrustBundleSet::Create(std::move(with_root));
    if (!set.ok()) continue;
    absl::StatusOr<IdentitySnapshotPtr> snapshot = MakeSnapshot(snapshot_->chain(), *set);
    if (snapshot.ok()) return Publish(*std::move(snapshot), *set, /*rotated=*/false);
  }
}

absl::Status Renewer::CheckBundles(const absl::StatusOr<TrustBundleUpdate>& update) const {
  RETURN_IF_ERROR(update.status());
  if (update->version == 0) return absl::InvalidArgumentError("version 0");
  const TrustBundle* own = update->bundles.Find(options_.trust_domain);
  if (own == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no roots of ", options_.trust_domain));
  }
  return CheckHasCurrentRoot(own->roots, loop_->WallNow());
}

void Renewer::OnTrustBundles(absl::StatusOr<TrustBundleUpdate> update) {
  DCHECK(loop_->InLoopThread());
  absl::Status usable = CheckBundles(update);
  if (!usable.ok()) {
    bundles_rejected_->Increment();
    log_->Warning("trust bundles rejected", {{"reason", usable.message()}});
    return;
  }
  if (update->version == bundle_version_) {
    // A new stream sends what has been published already.
    if (!unacknowledged_.has_value()) ca_->AcknowledgeTrustBundles(bundle_version_);
    return;
  }
  if (withheld_bundles_.has_value() && withheld_bundles_->version == update->version) return;
  if (snapshot_ == nullptr) {
    // Judged, published and acknowledged together with the first certificate.
    Withhold(*std::move(update));
    return;
  }
  absl::StatusOr<IdentitySnapshotPtr> snapshot = MakeSnapshot(snapshot_->chain(), update->bundles);
  if (!snapshot.ok()) {
    log_->Warning("trust bundles in force but for our own root until a renewal",
                  {{"version", update->version}, {"reason", snapshot.status().message()}});
    PublishWithOwnRoot(update->bundles);
    Withhold(*std::move(update));
    RenewNow();
    return;
  }
  const uint64_t version = update->version;
  tainted_roots_ = std::move(update->tainted_roots);
  Publish(*std::move(snapshot), update->bundles, /*rotated=*/false);
  OnBundlesPublished(version);
  ReplaceRevoked();
  RenewIfTainted(absl::ZeroDuration());
}

}  // namespace byrnie
