#include "controlplane/trust/trust_keeper.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/identity/revocation.h"
#include "controlplane/ca/vouched_path.h"

namespace byrnie {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(500);
// Beyond that the list in the store has to do.
constexpr size_t kMostFormers = 16;

// For a gauge: 0 is none.
int64_t StepNumber(const absl::optional<RotationStep>& step) {
  return step.has_value() ? static_cast<int64_t>(*step) + 1 : 0;
}

bool Has(const std::vector<CertificatePtr>& all, const Certificate& certificate) {
  return std::any_of(all.begin(), all.end(), [&certificate](const CertificatePtr& one) {
    return one->der() == certificate.der();
  });
}

bool HasListOf(const std::vector<RevocationListPtr>& lists, const Certificate& issuer) {
  return std::any_of(lists.begin(), lists.end(),
                     [&issuer](const RevocationListPtr& list) { return list->IsIssuedBy(issuer); });
}

}  // namespace

TrustKeeper::TrustKeeper(Store* store, Options options, const Clock* clock, Logger* logger)
    : options_(std::move(options)),
      clock_(clock),
      logger_(logger),
      stored_trust_(store),
      stored_revocations_(store, options_.unreadable),
      foreign_lists_(options_.foreign_lists) {}

absl::StatusOr<std::unique_ptr<TrustKeeper>> TrustKeeper::Create(Store* store, Options options,
                                                                 const Clock* clock, Logger* logger,
                                                                 MetricRegistry* metrics) {
  auto keeper = absl::WrapUnique(new TrustKeeper(store, std::move(options), clock, logger));
  const Options& o = keeper->options_;
  if (o.plugged_directory.empty()) {
    ASSIGN_OR_RETURN(absl::optional<TrustStore::Versioned> there, keeper->stored_trust_.Load());
    absl::optional<RootRecord> legacy;
    if (!there.has_value()) {
      ASSIGN_OR_RETURN(legacy, keeper->stored_trust_.LoadLegacyRoot(o.trust_domain));
    }
    if (!there.has_value() && !legacy.has_value() && !o.may_make_root) {
      return absl::FailedPreconditionError(
          "the store has other records and no trust record, which holds the roots: it is lost, and "
          "no other root is made; restore the store from its last backup, or begin a new mesh, "
          "which no running agent will trust, with --new_mesh");
    }
    // Before the record is read.
    if (o.issue_without_store.has_value()) {
      keeper->window_ = std::make_unique<IssuingWindow>(*o.issue_without_store, clock);
    }
    ASSIGN_OR_RETURN(keeper->rotation_, RootRotation::LoadOrCreate(&keeper->stored_trust_,
                                                                   {o.trust_domain, o.workload_ttl,
                                                                    o.seal, keeper->window_.get()},
                                                                   clock, logger, legacy));
    keeper->published_ = keeper->rotation_->snapshot();
  } else {
    ASSIGN_OR_RETURN(keeper->plugged_, PluggedCa::Create(o.plugged_directory, o.trust_domain, clock,
                                                         logger, metrics, o.own_names));
    keeper->published_ = keeper->adopted_ = keeper->plugged_->snapshot();
  }
  keeper->authority_ =
      std::make_unique<Authority>(keeper->published_, clock, keeper->window_.get());
  ASSIGN_OR_RETURN(keeper->revocations_,
                   Revocations::Load(&keeper->stored_revocations_, o.workload_ttl,
                                     o.plugged_directory.empty() ? Revocations::Issuers::kAllGiven
                                                                 : Revocations::Issuers::kOthersToo,
                                     clock));
  keeper->revocations_->SetOthers(o.foreign_lists);
  RETURN_IF_ERROR(keeper->revocations_->Update(keeper->published_->authorities).status());
  if (keeper->NeedsLists()) {
    const absl::Status vouched = keeper->CheckIsVouchedFor(*keeper->published_->signer);
    if (!vouched.ok()) return keeper->InFilesOfPlugged(vouched);
  }
  metrics->AddCallbackGauge(
      "byrnie_controlplane_root_rotation_step",
      "Where the rotation of the root stands: 0 none, 1 prepared, 2 distributed, 3 active, 4 "
      "tainted.",
      [raw = keeper.get()] {
        return raw->rotation_ == nullptr ? 0.0
                                         : static_cast<double>(StepNumber(raw->rotation_->step()));
      });
  metrics->AddCallbackGauge(
      "byrnie_controlplane_issuing_window_seconds",
      "How long certificates are still issued unless the store is reached; "
      "negative: none are; +Inf: "
      "nobody shares the store.",
      [raw = keeper.get()] { return absl::ToDoubleSeconds(raw->issuing_left()); });
  metrics->AddCallbackGauge(
      "byrnie_controlplane_revoked_certificates", "Certificates revoked that have not ended.",
      [raw = keeper.get()] { return static_cast<double>(raw->revocations_->List().size()); });
  return keeper;
}

TrustKeeper::~TrustKeeper() { Stop(); }

absl::Status TrustKeeper::CatchUp() {
  if (rotation_ == nullptr) return absl::OkStatus();
  const absl::Status refreshed = rotation_->Refresh();
  // Somebody was faster with a move that needs nobody's word.
  if (!refreshed.ok() && !absl::IsAborted(refreshed)) return refreshed;
  authority_->Publish(rotation_->snapshot());
  return absl::OkStatus();
}

void TrustKeeper::Stop() { thread_ = nullptr; }

void TrustKeeper::Start(FleetSource* fleet, std::function<void()> on_change) {
  on_change_ = std::move(on_change);
  if (rotation_ != nullptr) {
    rotation_->Start(fleet, [this] {
      // Before anybody hears of it: what is signed from now on is of the root that signs.
      authority_->Publish(rotation_->snapshot());
      on_change_();
    });
  }
  thread_ = std::make_unique<PeriodicThread>(kInterval, [this] { FollowStore(); });
}

void TrustKeeper::FollowStore() {
  absl::Status status;
  if (rotation_ != nullptr) status = rotation_->Refresh();
  TellOfTrustRecord();
  status.Update(revocations_->Reload());
  const absl::StatusOr<bool> changed = [this] {
    absl::MutexLock lists(&lists_mu_);
    return revocations_->Update(authority_->snapshot()->authorities);
  }();
  status.Update(changed.status());
  {
    absl::MutexLock lock(&mu_);
    lists_made_ = changed.status();
    if (changed.value_or(false)) lists_changed_ = true;
  }
  if (changed.value_or(false)) on_change_();
  // After all that others wait for.
  status.Update(revocations_->Keep());
  status.Update(revocations_->Forget());
  // That the store is away, the store says.
  const bool complain = !status.ok() && !absl::IsUnavailable(status) && !absl::IsAborted(status);
  const std::string complaint = complain ? std::string(status.message()) : "";
  if (complain && complaint != complaint_) {
    logger_->Error("cannot follow the trust record, what was in force stays",
                   {{"error", complaint}});
  }
  complaint_ = complaint;
}

void TrustKeeper::TellOfTrustRecord() {
  if (rotation_ == nullptr || options_.unreadable == nullptr) return;
  const absl::Status followed = rotation_->followed();
  std::vector<UnreadableRecord> told;
  if (absl::IsFailedPrecondition(followed) || absl::IsDataLoss(followed)) {
    told.push_back({StoredTrust::kKey, std::string(followed.message()),
                    "the roots, and where their rotation stands, stay what they were here; "
                    "certificates are issued for as long as the condition \"issuing\" says, and no "
                    "control plane that shares the store starts",
                    "restore the record from a backup of the store, or start the release that "
                    "wrote it; never delete it"});
  }
  options_.unreadable->Set(UnreadableRecords::Kind::kTrust, std::move(told));
}

bool TrustKeeper::Poll() {
  if (plugged_ != nullptr) {
    plugged_->Poll();
    AdoptPlugged();
  }
  bool changed = false;
  {
    absl::MutexLock lock(&mu_);
    changed = std::exchange(lists_changed_, false);
  }
  AuthoritySnapshotPtr now = authority_->snapshot();
  if (now != published_) changed = true;
  published_ = std::move(now);
  return changed;
}

TrustBundle TrustKeeper::bundle() const {
  TrustBundle bundle;
  bundle.roots = authority_->snapshot()->roots;
  // Lists that refuse everything would take more back than anybody has asked for.
  if (CheckIsVouchedFor(*authority_->snapshot()->signer).ok()) {
    bundle.crls = revocations_->lists();
  }
  return bundle;
}

void TrustKeeper::AdoptPlugged() {
  const AuthoritySnapshotPtr& next = plugged_->snapshot();
  const bool fewer = ForgetFormers();
  if (next == adopted_) {
    not_adopted_ = absl::OkStatus();
    if (!fewer) return;
  }
  absl::Status vouched;
  if (NeedsLists()) vouched = CheckIsVouchedFor(*next->signer);
  if (!vouched.ok()) {
    vouched = InFilesOfPlugged(vouched);
    if (vouched != not_adopted_) {
      logger_->Error("the plugged CA cannot be used as it is now, what was in force stays",
                     {{"error", vouched.message()}});
    }
    not_adopted_ = vouched;
    return;
  }
  not_adopted_ = absl::OkStatus();
  if (next->signer->issuer().der() != adopted_->signer->issuer().der()) {
    formers_.push_back({adopted_->signer, clock_->MonotonicNow()});
    if (formers_.size() > kMostFormers) formers_.erase(formers_.begin());
  }
  adopted_ = next;
  auto with_formers = std::make_shared<AuthoritySnapshot>(*next);
  for (const Former& former : formers_) {
    const auto same = [&former](const SigningAuthorityPtr& other) {
      return other->issuer().der() == former.authority->issuer().der();
    };
    std::vector<SigningAuthorityPtr>& all = with_formers->authorities;
    if (std::none_of(all.begin(), all.end(), same)) all.push_back(former.authority);
  }
  absl::MutexLock lists(&lists_mu_);
  // Before anything is issued by it: peers are to have its list by then.
  if (revocations_->Update(with_formers->authorities).value_or(false)) {
    absl::MutexLock lock(&mu_);
    lists_changed_ = true;
  }
  authority_->Publish(std::move(with_formers));
}

bool TrustKeeper::ForgetFormers() {
  const absl::Duration since = clock_->MonotonicNow() - revocations_->list_life();
  const auto first = std::find_if(formers_.begin(), formers_.end(), [since](const Former& former) {
    return former.replaced_at > since;
  });
  const bool some = first != formers_.begin();
  formers_.erase(formers_.begin(), first);
  return some;
}

absl::Status TrustKeeper::PluggedState() const {
  if (plugged_ == nullptr || !plugged_->state().ok()) {
    return plugged_ == nullptr ? absl::OkStatus() : plugged_->state();
  }
  return not_adopted_;
}

absl::Status TrustKeeper::CheckIsVouchedFor(const SigningAuthority& signer) const {
  absl::MutexLock lock(&mu_);
  return CheckPathIsVouchedFor(signer, foreign_lists_);
}

bool TrustKeeper::NeedsLists() const {
  if (!revocations_->List().empty()) return true;
  absl::MutexLock lock(&mu_);
  return !foreign_lists_.empty();
}

// What is revoked would come back, or nothing be accepted any more.
absl::Status TrustKeeper::InFilesOfPlugged(const absl::Status& why) const {
  absl::Time until = absl::InfinitePast();
  const std::vector<RevokedCertificate> revoked = revocations_->List();
  for (const RevokedCertificate& one : revoked) until = std::max(until, one.not_after);
  return absl::FailedPreconditionError(absl::StrCat(
      options_.plugged_directory, ": ", why.message(), ", so its certificates would be refused: ",
      revoked.empty()
          ? "other lists of the trust domain are in force by --crl"
          : absl::StrCat(revoked.size(), " certificates are revoked until ", UtcText(until)),
      "; give that list with --crl=FILE, or go on with the CA of before",
      revoked.empty() ? "" : " until then"));
}

void TrustKeeper::SetForeignLists(std::vector<RevocationListPtr> lists) {
  absl::MutexLock both(&lists_mu_);
  revocations_->SetOthers(lists);
  // At once: with the lists of others in force and none of its own, nobody would be accepted.
  const bool changed = revocations_->Update(authority_->snapshot()->authorities).value_or(false);
  absl::MutexLock lock(&mu_);
  foreign_lists_ = std::move(lists);
  if (changed) lists_changed_ = true;
}

absl::Status TrustKeeper::ListsState() const {
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(lists_made_);
  }
  if (revocations_->lists().empty()) return absl::OkStatus();
  return CheckIsVouchedFor(*authority_->snapshot()->signer);
}

absl::Status TrustKeeper::IssuedState() const {
  absl::MutexLock both(&lists_mu_);
  const SigningAuthorityPtr signer = authority_->snapshot()->signer;
  std::vector<RevocationListPtr> lists = revocations_->lists();
  // As bundle() has them.
  if (!CheckIsVouchedFor(*signer).ok()) lists.clear();
  {
    absl::MutexLock lock(&mu_);
    lists.insert(lists.end(), foreign_lists_.begin(), foreign_lists_.end());
  }
  return CheckRevocation(signer->TrialPath(), lists, clock_->WallNow());
}

absl::Status TrustKeeper::JudgeForeignLists(const std::vector<RevocationListPtr>& lists) const {
  const absl::Status now = CheckSuffice(lists, *authority_->snapshot());
  if (now.ok() || plugged_ == nullptr || plugged_->snapshot() == adopted_) return now;
  const absl::Status then = CheckSuffice(lists, *plugged_->snapshot());
  if (then.ok()) return then;
  return absl::FailedPreconditionError(
      absl::StrCat(now.message(), "; nor can the CA that waits in ", options_.plugged_directory,
                   " be used with these lists: ", then.message()));
}

absl::Status TrustKeeper::CheckSuffice(const std::vector<RevocationListPtr>& lists,
                                       const AuthoritySnapshot& next) const {
  RETURN_IF_ERROR(CheckPathIsVouchedFor(*next.signer, lists));
  // Whose list is in force keeps one as long as it is trusted: without it all that it has issued is
  // refused; or let in again whatever its list says, where we publish one of our own for it.
  std::vector<CertificatePtr> trusted = next.roots;
  for (const SigningAuthorityPtr& former : authority_->snapshot()->authorities) {
    if (!Has(next.roots, *former->root())) continue;
    const CertificateChain& path = former->intermediates();
    trusted.insert(trusted.end(), path.begin(), path.end());
  }
  absl::MutexLock lock(&mu_);
  for (const CertificatePtr& issuer : trusted) {
    if (!HasListOf(foreign_lists_, *issuer) || HasListOf(lists, *issuer)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the revocation list of ", issuer->Subject(),
                     " is in force, and there would be none of it ",
                     "any more: leave it beside the others as long as its root is trusted"));
  }
  return absl::OkStatus();
}

std::vector<CertificatePtr> TrustKeeper::KnownRoots() const {
  std::vector<CertificatePtr> roots = authority_->snapshot()->roots;
  if (plugged_ == nullptr) return roots;
  for (const CertificatePtr& root : plugged_->snapshot()->roots) {
    if (!Has(roots, *root)) roots.push_back(root);
  }
  return roots;
}

absl::Status TrustKeeper::CheckMayRevoke() const {
  const SigningAuthorityPtr signer = authority_->snapshot()->signer;
  absl::Status unknown;
  {
    absl::MutexLock lock(&mu_);
    unknown = CheckPathIsVouchedFor(*signer, foreign_lists_);
    if (unknown.ok() && !signer->intermediates().empty()) {
      std::vector<const Certificate*> path;
      for (const CertificatePtr& above : signer->intermediates()) path.push_back(above.get());
      path.push_back(signer->root().get());
      unknown = CheckRevocation(path, foreign_lists_, clock_->WallNow());
    }
  }
  if (unknown.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      unknown.message(),
      "; give a current list with --crl first, or every certificate would be refused"));
}

}  // namespace byrnie
