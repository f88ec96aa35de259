#include "controlplane/ca/revocations.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/revocation_list_builder.h"

namespace byrnie {
namespace {

// For clocks that are behind.
constexpr absl::Duration kBackdate = absl::Seconds(60);
constexpr size_t kMaxSerialDigits = 40;
// Deleted in one go, so that lists do not wait long.
constexpr size_t kMostForgotten = 100;
// Of lists of former issuers, so that there is room for others in a bundle.
constexpr size_t kMostKeptLists = 32;
constexpr size_t kMostListBytes = 2 * 1024 * 1024;

bool BySerial(const RevokedCertificate& a, const RevokedCertificate& b) {
  return a.serial < b.serial;
}

}  // namespace

constexpr absl::Duration Revocations::kShortestListLife;
constexpr size_t Revocations::kMaxRevoked;
constexpr absl::Duration Revocations::kKept;

Revocations::Revocations(RevocationStore* store, absl::Duration workload_ttl, Issuers issuers,
                         const Clock* clock)
    : store_(store),
      list_life_(std::max(2 * workload_ttl, absl::Duration(kShortestListLife))),
      issuers_(issuers),
      clock_(clock),
      time_(clock) {}

absl::StatusOr<std::unique_ptr<Revocations>> Revocations::Load(RevocationStore* store,
                                                               absl::Duration workload_ttl,
                                                               Issuers issuers,
                                                               const Clock* clock) {
  auto revocations = absl::WrapUnique(new Revocations(store, workload_ttl, issuers, clock));
  RETURN_IF_ERROR(revocations->LoadLists());
  RETURN_IF_ERROR(revocations->Reload());
  return revocations;
}

absl::Status Revocations::LoadLists() {
  std::vector<KeptList> kept;
  {
    absl::MutexLock lock(&mu_);
    kept = kept_;
  }
  ASSIGN_OR_RETURN(kept, store_->LoadLists(kept));
  absl::MutexLock lock(&mu_);
  kept_ = std::move(kept);
  return absl::OkStatus();
}

absl::Status Revocations::Reload() {
  if (issuers_ == Issuers::kOthersToo) RETURN_IF_ERROR(LoadLists());
  ASSIGN_OR_RETURN(std::vector<RevokedCertificate> there, store_->Load());
  std::sort(there.begin(), there.end(), BySerial);
  absl::MutexLock lock(&mu_);
  const bool same = std::equal(there.begin(), there.end(), revoked_.begin(), revoked_.end(),
                               [](const RevokedCertificate& a, const RevokedCertificate& b) {
                                 return a.serial == b.serial;
                               });
  if (same) return absl::OkStatus();
  revoked_ = std::move(there);
  return absl::OkStatus();
}

absl::Status Revocations::CheckSerial(const std::string& serial) {
  bool good = !serial.empty() && serial.size() <= kMaxSerialDigits && serial.size() % 2 == 0;
  for (char c : serial) {
    good = good && absl::ascii_isxdigit(static_cast<unsigned char>(c)) &&
           !absl::ascii_isupper(static_cast<unsigned char>(c));
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a serial number is 2 to 40 hexadecimal digits, an even number of them");
}

absl::StatusOr<bool> Revocations::Revoke(const RevokedCertificate& revoked) {
  RETURN_IF_ERROR(CheckSerial(revoked.serial));
  if (revoked.not_after <= clock_->WallNow()) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate ", revoked.serial, " has ended, nobody takes it any more"));
  }
  {
    absl::MutexLock lock(&mu_);
    const auto at = std::lower_bound(revoked_.begin(), revoked_.end(), revoked, BySerial);
    if (at != revoked_.end() && at->serial == revoked.serial) return false;
    if (InForce().size() >= kMaxRevoked) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxRevoked, " certificates are revoked; rotate the root"));
    }
  }
  ASSIGN_OR_RETURN(const bool added, store_->Add(revoked));
  // By what the other one has said of it. Where that cannot be read, it is revoked all the same.
  if (!added) Reload().IgnoreError();
  absl::MutexLock lock(&mu_);
  const auto at = std::lower_bound(revoked_.begin(), revoked_.end(), revoked, BySerial);
  if (at == revoked_.end() || at->serial != revoked.serial) revoked_.insert(at, revoked);
  return added;
}

std::vector<RevokedCertificate> Revocations::List() const {
  absl::MutexLock lock(&mu_);
  return InForce();
}

absl::optional<RevokedCertificate> Revocations::Find(absl::string_view serial) const {
  absl::MutexLock lock(&mu_);
  const auto at = std::lower_bound(
      revoked_.begin(), revoked_.end(), serial,
      [](const RevokedCertificate& a, absl::string_view wanted) { return a.serial < wanted; });
  if (at == revoked_.end() || at->serial != serial) return absl::nullopt;
  return *at;
}

std::vector<RevokedCertificate> Revocations::InForce() const {
  const absl::Time now = time_.Now();
  std::vector<RevokedCertificate> in_force;
  for (const RevokedCertificate& revoked : revoked_) {
    if (revoked.not_after > now) in_force.push_back(revoked);
  }
  return in_force;
}

std::vector<RevocationListPtr> Revocations::lists() const {
  absl::MutexLock lock(&mu_);
  return lists_;
}

bool Revocations::IsOfOther(const RevocationListPtr& list) const {
  absl::MutexLock lock(&mu_);
  return std::any_of(kept_.begin(), kept_.end(), [this, &list](const KeptList& kept) {
    return kept.list == list && !Makes(kept.issuer);
  });
}

bool Revocations::Makes(const std::string& issuer) const {
  return std::any_of(made_.begin(), made_.end(),
                     [&issuer](const KeptList& made) { return made.issuer == issuer; });
}

std::vector<RevocationListPtr> Revocations::ToPublish() const {
  std::vector<RevocationListPtr> lists;
  if (listed_.empty() && others_.empty()) return lists;
  size_t bytes = 0;
  for (const KeptList& made : made_) {
    // Whoever gives lists of this issuer says by them alone that nothing is revoked.
    if (listed_.empty() && covered_.count(made.issuer) > 0) continue;
    bytes += made.list->der().size();
    lists.push_back(made.list);
  }
  const absl::Time now = time_.Now();
  std::vector<RevocationListPtr> others;
  for (const KeptList& kept : kept_) {
    if (issuers_ == Issuers::kAllGiven || Makes(kept.issuer)) continue;
    if (kept.list->next_update() > now) others.push_back(kept.list);
  }
  std::stable_sort(others.begin(), others.end(),
                   [](const RevocationListPtr& a, const RevocationListPtr& b) {
                     return a->next_update() > b->next_update();
                   });
  if (others.size() > kMostKeptLists) others.resize(kMostKeptLists);
  for (RevocationListPtr& list : others) {
    bytes += list->der().size();
    if (bytes > kMostListBytes) break;
    lists.push_back(std::move(list));
  }
  return lists;
}

void Revocations::SetOthers(std::vector<RevocationListPtr> others) {
  absl::MutexLock lock(&mu_);
  others_ = std::move(others);
}

absl::StatusOr<bool> Revocations::Update(const std::vector<SigningAuthorityPtr>& authorities) {
  const absl::Time now = clock_->WallNow();
  RevocationListSpec spec;
  spec.next_update = now + list_life_;
  spec.number = static_cast<uint64_t>(std::max<int64_t>(1, absl::ToUnixMillis(now)));
  std::vector<KeptList> made;
  for (const SigningAuthorityPtr& authority : authorities) {
    made.push_back({authority->issuer().FingerprintHex(), nullptr});
  }
  std::vector<std::string> serials;
  std::set<std::string> covered;
  bool as_made;
  {
    absl::MutexLock lock(&mu_);
    for (const SigningAuthorityPtr& authority : authorities) {
      const Certificate& issuer = authority->issuer();
      if (std::any_of(others_.begin(), others_.end(), [&issuer](const RevocationListPtr& list) {
            return list->IsIssuedBy(issuer);
          })) {
        covered.insert(issuer.FingerprintHex());
      }
    }
    // A list that begins later than others have it is good for nothing there.
    spec.this_update = time_.Now() - kBackdate;
    for (const RevokedCertificate& revoked : InForce()) {
      spec.revoked.push_back({revoked.serial, revoked.revoked_at});
      serials.push_back(revoked.serial);
    }
    const bool due = now >= made_at_ + list_life_ / 2 || now < made_at_;
    as_made = !due && serials == listed_ &&
              std::equal(made.begin(), made.end(), made_.begin(), made_.end(),
                         [](const KeptList& a, const KeptList& b) { return a.issuer == b.issuer; });
  }
  for (size_t i = 0; !as_made && i < made.size(); ++i) {
    ASSIGN_OR_RETURN(made[i].list,
                     BuildRevocationList(spec, authorities[i]->issuer(), authorities[i]->key()));
  }
  absl::MutexLock lock(&mu_);
  if (!as_made) {
    made_ = std::move(made);
    all_kept_ = false;
    listed_ = std::move(serials);
    made_at_ = now;
  }
  covered_ = std::move(covered);
  std::vector<RevocationListPtr> lists = ToPublish();
  const bool changed = lists != lists_;
  lists_ = std::move(lists);
  return changed;
}

absl::Status Revocations::Keep() {
  std::vector<KeptList> made;
  {
    absl::MutexLock lock(&mu_);
    if (all_kept_) return absl::OkStatus();
    made = made_;
  }
  for (const KeptList& list : made) RETURN_IF_ERROR(store_->KeepList(list));
  absl::MutexLock lock(&mu_);
  all_kept_ = std::equal(made.begin(), made.end(), made_.begin(), made_.end(),
                         [](const KeptList& a, const KeptList& b) { return a.list == b.list; });
  return absl::OkStatus();
}

absl::Status Revocations::Forget() {
  std::vector<std::string> over, former;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = time_.Now();
    // A clock that was wrong when the process started has nothing to be compared with.
    if (!time_.IsTried()) return absl::OkStatus();
    for (const RevokedCertificate& revoked : revoked_) {
      if (over.size() == kMostForgotten) break;
      if (revoked.not_after + kKept <= now) over.push_back(revoked.serial);
    }
    for (const KeptList& kept : kept_) {
      if (Makes(kept.issuer) || kept.list->next_update() + kKept > now) continue;
      former.push_back(kept.issuer);
    }
  }
  for (const std::string& issuer : former) RETURN_IF_ERROR(store_->RemoveList(issuer));
  if (!former.empty()) RETURN_IF_ERROR(LoadLists());
  for (const std::string& serial : over) {
    RETURN_IF_ERROR(store_->Remove(serial));
    absl::MutexLock lock(&mu_);
    revoked_.erase(
        std::remove_if(revoked_.begin(), revoked_.end(),
                       [&](const RevokedCertificate& revoked) { return revoked.serial == serial; }),
        revoked_.end());
  }
  return absl::OkStatus();
}

}  // namespace byrnie
