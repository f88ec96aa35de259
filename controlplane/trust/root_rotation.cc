#include "controlplane/trust/root_rotation.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "controlplane/trust/trust_codec.h"

namespace byrnie {
namespace {

// Of those that keep a move back, how many a message names.
constexpr size_t kNamedBlockers = 3;
// Of several processes one writes down the time so often.
constexpr absl::Duration kKeepInterval = absl::Minutes(1);
// Since then, that a process which starts takes its clock's word for: a rotation is to go on also
// through crashes. Between two starts of one that crashes Kubernetes waits five minutes at most.
constexpr absl::Duration kUnquestioned = absl::Minutes(7);
// How often the log says that an automatic rotation waits.
constexpr absl::Duration kReportInterval = absl::Minutes(1);

// Certificates have whole seconds (RFC 5280 section 4.1.2.5).
absl::Time FloorToSecond(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

// Why what has ended by the wall clock is waited for.
std::string NotBelieved(const SettledTime::Reading& time) {
  return absl::StrCat(
      ", which this control plane's clock says is over; it has jumped ",
      absl::FormatDuration(absl::Trunc(time.ahead, absl::Seconds(1))),
      " ahead, or the process was away so long: it is believed unless it is set back in ",
      absl::FormatDuration(absl::Ceil(time.left, absl::Seconds(1))));
}

absl::Status KeptBack(RotationMove move, const std::vector<RotationBlocker>& blockers) {
  std::string message =
      absl::StrCat(RotationMoveName(move), " is kept back by ", blockers.size(), ": ");
  for (size_t i = 0; i < std::min(blockers.size(), kNamedBlockers); ++i) {
    const RotationBlocker& blocker = blockers[i];
    absl::StrAppend(&message, i == 0 ? "" : "; ", blocker.agent,
                    blocker.address.empty() ? "" : absl::StrCat(" at ", blocker.address), " ",
                    blocker.reason);
  }
  if (blockers.size() > kNamedBlockers) absl::StrAppend(&message, "; and others");
  return absl::FailedPreconditionError(
      absl::StrCat(message,
                   "; wait, help them, or name those that this move is not to wait for "
                   "(--exclude=AGENT: all of that name, --exclude=AGENT@IP: those there)"));
}

}  // namespace

constexpr absl::Duration RootRotation::kRootLifetime;
constexpr absl::Duration RootRotation::kBackdate;

absl::StatusOr<std::unique_ptr<RootRotation>> RootRotation::LoadOrCreate(
    TrustStore* store, Options options, const Clock* clock, Logger* logger,
    const absl::optional<RootRecord>& legacy) {
  RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(options.trust_domain));
  auto rotation = absl::WrapUnique(new RootRotation(store, std::move(options), clock, logger));
  RETURN_IF_ERROR(rotation->Load(legacy));
  return rotation;
}

absl::Status RootRotation::Load(const absl::optional<RootRecord>& legacy) {
  absl::MutexLock moving(&moving_);
  ASSIGN_OR_RETURN(absl::optional<TrustStore::Versioned> found, store_->Load());
  RETURN_IF_ERROR(StartTime(found));
  TrustStore::Versioned now_there;
  bool changed = false;
  if (found.has_value()) {
    now_there = *std::move(found);
  } else {
    now_there.record.trust_domain = options_.trust_domain;
    if (legacy.has_value()) {
      now_there.record.current = *legacy;
      now_there.record.logged_since = clock_->WallNow();
    } else {
      ASSIGN_OR_RETURN(now_there.record.current, MakeRoot(1));
    }
    changed = true;
  }
  TrustRecord& record = now_there.record;
  if (record.trust_domain != options_.trust_domain) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store holds the authority of trust domain \"", record.trust_domain,
                     "\", not of \"", options_.trust_domain,
                     "\"; give --trust_domain=", record.trust_domain, " or another --store"));
  }
  ASSIGN_OR_RETURN(const bool resealed, Reseal(&record.current));
  changed = changed || resealed;
  if (record.rotation.has_value()) {
    ASSIGN_OR_RETURN(const bool next_resealed, Reseal(&record.rotation->next));
    changed = changed || next_resealed;
  }
  changed = SetLifeCap(options_.workload_ttl, clock_->WallNow(), &record) || changed;
  if (!changed) return Take(std::move(now_there));
  const absl::Status committed = Commit(record, now_there.revision);
  // Another process was faster: its record counts.
  if (absl::IsAborted(committed) && state() != nullptr) return absl::OkStatus();
  return committed;
}

absl::Status RootRotation::StartTime(const absl::optional<TrustStore::Versioned>& found) {
  ASSIGN_OR_RETURN(const TrustStore::KeptTime kept, store_->LoadTime());
  absl::Time known = absl::InfiniteFuture();
  if (kept.time.has_value()) {
    known = *kept.time;
  } else if (found.has_value() && found->record.rotation.has_value()) {
    known = found->record.rotation->since;
  }
  if (clock_->WallNow() <= known + kUnquestioned) known = absl::InfiniteFuture();
  absl::MutexLock lock(&mu_);
  time_.emplace(clock_, known);
  return absl::OkStatus();
}

// What the store cannot do it has logged itself; and of processes that are at it at once one is
// enough.
void RootRotation::KeepTime() {
  const absl::Duration monotonic = clock_->MonotonicNow();
  if (monotonic < next_keep_) return;
  next_keep_ = monotonic + kKeepInterval;
  const absl::StatusOr<TrustStore::KeptTime> kept = store_->LoadTime();
  if (!kept.ok()) return;
  const SettledTime::Reading time = ReadTime();
  const bool later = !kept->time.has_value() || time.now >= *kept->time + kKeepInterval;
  // A clock that was believed and was wrong has been set back. Whoever goes on from a time before
  // that is not to say so of others.
  const bool earlier =
      !later && time.ahead == absl::ZeroDuration() && time.now + kKeepInterval <= *kept->time;
  if (!later && !earlier) return;
  store_->KeepTime(time.now, kept->revision, state()->revision).IgnoreError();
}

absl::StatusOr<RootRecord> RootRotation::MakeRoot(uint32_t number) const {
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> key, PrivateKey::Generate());
  CertificateSpec spec;
  // A name of its own, because there are verifiers that look no further when they choose a root.
  spec.common_name = absl::StrCat("Byrnie root", number == 1 ? "" : absl::StrCat(" ", number),
                                  " of ", options_.trust_domain)
                         .substr(0, 64);
  // X509-SVID section 3.1: a signing certificate may have a SPIFFE ID, and then without a path.
  spec.uri_sans = {absl::StrCat("spiffe://", options_.trust_domain)};
  spec.not_before = FloorToSecond(clock_->WallNow() - kBackdate);
  spec.not_after = FloorToSecond(clock_->WallNow() + kRootLifetime);
  spec.is_ca = true;
  spec.path_length = 0;
  ASSIGN_OR_RETURN(CertificatePtr root, BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key));
  RootRecord record{root->FingerprintHex(), root->der(), ""};
  ASSIGN_OR_RETURN(record.stored_key,
                   options_.seal.Protect(key->ToPkcs8(), KeyRecordName(record.id)));
  return record;
}

absl::StatusOr<bool> RootRotation::Reseal(RootRecord* root) const {
  const std::string name = KeyRecordName(root->id);
  ASSIGN_OR_RETURN(KeySeal::Opened opened, options_.seal.Open(root->stored_key, name));
  if (!opened.stale) return false;
  WipeString(&root->stored_key);
  ASSIGN_OR_RETURN(root->stored_key, options_.seal.Protect(opened.key, name));
  logger_->Warning(
      "the private key of a root is sealed anew; what the store's file held before may still be "
      "found on the disk and in backups: consider rotating the root",
      {{"root", root->id}, {"key", options_.seal.key_id()}});
  return true;
}

absl::StatusOr<SigningAuthorityPtr> RootRotation::Open(const RootRecord& root) const {
  const auto damaged = [](absl::string_view what, const absl::Status& why) {
    return absl::FailedPreconditionError(absl::StrCat("the ", what,
                                                      " in the store is damaged: ", why.message(),
                                                      "; restore the store from a backup"));
  };
  absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(root.certificate_der);
  if (!certificate.ok()) return damaged("root certificate", certificate.status());
  ASSIGN_OR_RETURN(KeySeal::Opened opened,
                   options_.seal.Open(root.stored_key, KeyRecordName(root.id)));
  absl::StatusOr<std::shared_ptr<const PrivateKey>> key = PrivateKey::FromPkcs8(opened.key);
  if (!key.ok()) return damaged("CA key", key.status());
  if ((*certificate)->not_after() <= clock_->WallNow()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the root certificate in the store expired at ", UtcText((*certificate)->not_after()),
        "; start with a new --store and give agents the new trust bundle"));
  }
  absl::StatusOr<SigningAuthorityPtr> authority = SigningAuthority::Create(
      options_.trust_domain, *std::move(certificate), {}, *std::move(key), clock_->WallNow());
  if (!authority.ok()) return damaged("root certificate", authority.status());
  return authority;
}

absl::StatusOr<AuthoritySnapshotPtr> RootRotation::SnapshotOf(const TrustRecord& record) const {
  const TrustEffect effect = EffectOf(record);
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  snapshot->trust_domain = options_.trust_domain;
  ASSIGN_OR_RETURN(snapshot->signer, Open(*effect.signer));
  snapshot->server_signer = snapshot->signer;
  for (const RootRecord* root : effect.trusted) {
    ASSIGN_OR_RETURN(CertificatePtr certificate, Certificate::FromDer(root->certificate_der));
    snapshot->roots.push_back(std::move(certificate));
    SigningAuthorityPtr authority = snapshot->signer;
    if (root != effect.signer) {
      absl::StatusOr<SigningAuthorityPtr> opened = Open(*root);
      // An expired root convinces nobody; the one that signs is what everybody trusts by then.
      if (!opened.ok()) continue;
      authority = *std::move(opened);
    }
    if (root == effect.server_signer) snapshot->server_signer = authority;
    snapshot->authorities.push_back(std::move(authority));
  }
  if (effect.tainted != nullptr) snapshot->tainted_root = effect.tainted->id;
  return AuthoritySnapshotPtr(std::move(snapshot));
}

RootRotation::StatePtr RootRotation::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

AuthoritySnapshotPtr RootRotation::snapshot() const { return state()->snapshot; }

void RootRotation::Start(FleetSource* fleet, std::function<void()> on_change) {
  absl::MutexLock moving(&moving_);
  {
    absl::MutexLock lock(&mu_);
    fleet_ = fleet;
  }
  on_change_ = std::move(on_change);
}

// What is to be signed is tried before it is committed: a record that cannot be followed is none.
absl::Status RootRotation::Commit(TrustRecord record, int64_t revision) {
  ASSIGN_OR_RETURN(AuthoritySnapshotPtr snapshot, SnapshotOf(record));
  absl::StatusOr<int64_t> committed = store_->Commit(record, revision);
  if (!committed.ok()) {
    if (!absl::IsAborted(committed.status()) && !absl::IsUnknown(committed.status())) {
      return committed.status();
    }
    // Somebody else's, or ours, of which nobody knows whether it came through.
    ASSIGN_OR_RETURN(absl::optional<TrustStore::Versioned> found, store_->Load());
    if (!found.has_value()) return committed.status();
    std::string wanted = EncodeTrustRecord(record), there = EncodeTrustRecord(found->record);
    const bool ours = wanted == there;
    WipeString(&wanted);
    WipeString(&there);
    RETURN_IF_ERROR(Take(*std::move(found)));
    return ours ? absl::OkStatus() : committed.status();
  }
  auto next =
      std::make_shared<const State>(State{std::move(record), *committed, std::move(snapshot)});
  {
    absl::MutexLock lock(&mu_);
    state_ = std::move(next);
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

absl::Status RootRotation::Take(TrustStore::Versioned found) {
  if (found.record.trust_domain != options_.trust_domain) {
    return absl::FailedPreconditionError("the store's trust record is of another trust domain");
  }
  ASSIGN_OR_RETURN(AuthoritySnapshotPtr snapshot, SnapshotOf(found.record));
  auto next = std::make_shared<const State>(
      State{std::move(found.record), found.revision, std::move(snapshot)});
  {
    absl::MutexLock lock(&mu_);
    state_ = std::move(next);
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

RotationStanding RootRotation::standing() const {
  const StatePtr present = state();
  const absl::optional<RotationRecord>& rotation = present->record.rotation;
  return {rotation.has_value() ? rotation->next.id : "", present->revision};
}

FleetSource* RootRotation::fleet() const {
  absl::MutexLock lock(&mu_);
  return fleet_;
}

SettledTime::Reading RootRotation::ReadTime() const {
  absl::MutexLock lock(&mu_);
  return time_->Read();
}

FleetView RootRotation::Fleet(absl::Time now) const {
  FleetSource* const source = fleet();
  if (source == nullptr) {
    FleetView nobody_known;
    nobody_known.complete_since = absl::InfiniteFuture();
    return nobody_known;
  }
  return source->View(standing(), now);
}

std::vector<RotationBlocker> RootRotation::BlockersNow(const TrustRecord& record,
                                                       RotationMove move) const {
  const SettledTime::Reading time = ReadTime();
  std::vector<RotationBlocker> blockers = BlockersOf(record, move, Fleet(time.now), time.now);
  for (RotationBlocker& blocker : blockers) {
    if (blocker.until <= time.now + time.ahead) blocker.reason += NotBelieved(time);
  }
  return blockers;
}

RotationStatus RootRotation::StatusOf(const TrustRecord& record, RotationMove move) const {
  RotationStatus status;
  const TrustEffect effect = EffectOf(record);
  std::vector<const RootRecord*> roots = {&record.current};
  if (record.rotation.has_value()) roots.push_back(&record.rotation->next);
  for (const RootRecord* root : roots) {
    RootInfo info;
    info.id = root->id;
    const absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(root->certificate_der);
    if (certificate.ok()) {
      info.subject = (*certificate)->Subject();
      info.not_after = (*certificate)->not_after();
    }
    info.trusted =
        std::find(effect.trusted.begin(), effect.trusted.end(), root) != effect.trusted.end();
    info.signs = effect.signer == root;
    info.tainted = effect.tainted == root;
    status.roots.push_back(std::move(info));
  }
  if (record.rotation.has_value()) {
    status.step = record.rotation->step;
    status.since = record.rotation->since;
    status.automatic = record.rotation->automatic;
    status.exclusions = record.rotation->exclusions;
  }
  status.move = move;
  status.consequence = ConsequenceOf(record, move);
  status.blockers = BlockersNow(record, move);
  return status;
}

absl::Time RootRotation::logged_since() const { return state()->record.logged_since; }

absl::Duration RootRotation::LongestLife() const {
  absl::Duration longest;
  for (const LifeCap& cap : state()->record.life_caps) longest = std::max(longest, cap.life);
  return longest;
}

absl::optional<RotationStep> RootRotation::step() const {
  const StatePtr present = state();
  if (!present->record.rotation.has_value()) return absl::nullopt;
  return present->record.rotation->step;
}

RotationStatus RootRotation::Status(bool rollback) const {
  const StatePtr present = state();
  return StatusOf(present->record, rollback && present->record.rotation.has_value()
                                       ? RotationMove::kRollback
                                       : NextMove(present->record));
}

absl::StatusOr<TrustRecord> RootRotation::WithExclusions(const TrustRecord& record,
                                                         RotationMove move,
                                                         const Request& request) const {
  TrustRecord changed = record;
  if (request.exclusions.empty()) return changed;
  const std::vector<RotationBlocker> blockers = BlockersNow(record, move);
  for (const std::string& agent : request.exclusions) {
    const auto left_out =
        std::count_if(blockers.begin(), blockers.end(),
                      [&](const RotationBlocker& blocker) { return NamesBlocker(agent, blocker); });
    if (left_out == 0) {
      return absl::InvalidArgumentError(absl::StrCat("\"", agent, "\" does not keep ",
                                                     RotationMoveName(move),
                                                     " back; exclude only those that do"));
    }
    changed.rotation->exclusions.push_back({agent, record.rotation->step, request.by,
                                            clock_->WallNow(), move == RotationMove::kRollback,
                                            static_cast<uint32_t>(left_out)});
  }
  return changed;
}

absl::StatusOr<RotationStatus> RootRotation::Rotate(const Request& request) {
  absl::MutexLock moving(&moving_);
  const StatePtr present = state();
  const RotationMove move = request.move.value_or(NextMove(present->record));
  RETURN_IF_ERROR(CheckTurn(present->record, move));
  ASSIGN_OR_RETURN(TrustRecord record, WithExclusions(present->record, move, request));
  if (record.rotation.has_value()) record.rotation->automatic = !request.move.has_value();
  RotationStatus status = StatusOf(record, move);
  if (request.dry_run) return status;
  for (size_t i = status.exclusions.size() - request.exclusions.size();
       i < status.exclusions.size(); ++i) {
    logger_->Warning("root rotation goes on without an agent",
                     {{"agent", status.exclusions[i].agent},
                      {"left_out", static_cast<uint64_t>(status.exclusions[i].left_out)},
                      {"move", RotationMoveName(move)},
                      {"by", request.by}});
  }
  if (!status.blockers.empty()) {
    // Exclusions and the wish to go on by itself are kept: the rest is waited for.
    if (!request.exclusions.empty() || !request.move.has_value()) {
      RETURN_IF_ERROR(Commit(std::move(record), present->revision));
    }
    if (!request.move.has_value()) return status;
    return KeptBack(move, status.blockers);
  }
  RETURN_IF_ERROR(
      Move(record, present->revision, move, /*automatic=*/!request.move.has_value(), request.by));
  status = StatusOf(state()->record, NextMove(state()->record));
  status.moved = true;
  return status;
}

absl::Status RootRotation::Move(const TrustRecord& record, int64_t revision, RotationMove move,
                                bool automatic, const std::string& by) {
  absl::optional<RootRecord> next;
  if (move == RotationMove::kPrepare) {
    ASSIGN_OR_RETURN(next, MakeRoot(record.root_count + 1));
  }
  const std::string before =
      record.rotation.has_value() ? std::string(RotationStepName(record.rotation->step)) : "none";
  TrustRecord after = AfterMove(record, move, clock_->WallNow(), std::move(next));
  if (after.rotation.has_value()) after.rotation->automatic = automatic;
  const std::string current = after.current.id;
  const std::string next_id = after.rotation.has_value() ? after.rotation->next.id : "";
  RETURN_IF_ERROR(Commit(std::move(after), revision));
  logger_->Info("root rotation moved", {{"move", RotationMoveName(move)},
                                        {"from", before},
                                        {"current_root", current},
                                        {"next_root", next_id},
                                        {"by", by}});
  return absl::OkStatus();
}

absl::Status RootRotation::Refresh() {
  absl::MutexLock moving(&moving_);
  // Each time, so that a clock that jumps is seen when it does.
  const absl::Time now = GateTime();
  RETURN_IF_ERROR(TakeIn());
  if (FleetSource* const source = fleet()) source->Follow(standing(), now);
  KeepTime();
  return MoveIfOpen();
}

absl::Status RootRotation::followed() const {
  absl::MutexLock lock(&mu_);
  return followed_;
}

absl::Status RootRotation::TakeIn() {
  const absl::Status taken = TryTakeIn();
  if (!absl::IsUnavailable(taken)) {
    absl::MutexLock lock(&mu_);
    followed_ = taken;
  }
  return taken;
}

absl::Status RootRotation::TryTakeIn() {
  const IssuingWindow::Instant asked{clock_->WallNow(), clock_->MonotonicNow()};
  ASSIGN_OR_RETURN(absl::optional<TrustStore::Versioned> found, store_->Load());
  if (!found.has_value()) {
    return absl::FailedPreconditionError("the trust record has disappeared from the store");
  }
  if (found->revision != state()->revision) RETURN_IF_ERROR(Take(*std::move(found)));
  // By when the question was put: what was committed after that is not in the answer.
  if (options_.window != nullptr) options_.window->Confirm(asked);
  return absl::OkStatus();
}

absl::Status RootRotation::MoveIfOpen() {
  const StatePtr present = state();
  const TrustRecord& record = present->record;
  if (!record.rotation.has_value() || !record.rotation->automatic) return absl::OkStatus();
  const RotationMove move = NextMove(record);
  const std::vector<RotationBlocker> blockers = BlockersNow(record, move);
  if (blockers.empty()) {
    return Move(record, present->revision, move, /*automatic=*/true, "automatic");
  }
  if (clock_->MonotonicNow() >= next_report_) {
    next_report_ = clock_->MonotonicNow() + kReportInterval;
    logger_->Info("root rotation waits", {{"for", RotationMoveName(move)},
                                          {"kept_back_by", static_cast<uint64_t>(blockers.size())},
                                          {"first", blockers.front().agent},
                                          {"reason", blockers.front().reason}});
  }
  return absl::OkStatus();
}

}  // namespace byrnie
