#include "common/identity/trust_files.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/identity/revocation.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {
namespace {

constexpr size_t kMaxBundleSize = 1024 * 1024;
constexpr size_t kMaxCrlSize = 4 * 1024 * 1024;
// Files of which it is tried whether they are good without one of them: it costs as many looks.
constexpr size_t kMostTried = 8;
constexpr char kReadsHelp[] =
    "Times a file of trust bundles or revocation lists was read, by result.";

template <typename T>
bool Same(const std::vector<std::shared_ptr<const T>>& a,
          const std::vector<std::shared_ptr<const T>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x->der() == y->der(); });
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("file \"", path, "\": ", status.message()));
}

absl::Status CheckHasBegun(const RevocationList& list, const Clock& clock) {
  if (list.this_update() <= clock.WallNow() + kRevocationClockSkew) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the revocation list of ", list.issuer(),
                                                 " begins at ", UtcText(list.this_update()),
                                                 "; is the clock of this machine behind?"));
}

// When each issuer's newest list is of. An issuer is the root that has signed it, since roots may
// have one name; of others the name is all that is known here.
struct Newest {
  std::string issuer;
  absl::Time time = absl::InfinitePast();
};
std::map<std::string, Newest> NewestOf(const std::vector<RevocationListPtr>& lists,
                                       const std::vector<CertificatePtr>& roots) {
  std::map<std::string, Newest> newest;
  for (const RevocationListPtr& list : lists) {
    const auto root = std::find_if(roots.begin(), roots.end(), [&list](const CertificatePtr& one) {
      return list->IsIssuedBy(*one);
    });
    Newest& of = newest[root == roots.end() ? list->issuer() : (*root)->der()];
    of = {list->issuer(), std::max(of.time, list->this_update())};
  }
  return newest;
}

absl::Status CheckTakesNothingBack(const std::vector<RevocationListPtr>& lists,
                                   std::vector<RevocationListPtr> in_force,
                                   const std::vector<CertificatePtr>& roots, const Clock* clock) {
  // One that has not begun corrects nothing, and is corrected by an older one.
  in_force.erase(std::remove_if(in_force.begin(), in_force.end(),
                                [clock](const RevocationListPtr& list) {
                                  return clock != nullptr && !CheckHasBegun(*list, *clock).ok();
                                }),
                 in_force.end());
  const std::map<std::string, Newest> before = NewestOf(in_force, roots);
  for (const auto& [key, newest] : NewestOf(lists, roots)) {
    const auto found = before.find(key);
    if (found == before.end() || found->second.time <= newest.time) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the revocation list of ", newest.issuer, " is of ", UtcText(newest.time), ", and one of ",
        UtcText(found->second.time),
        " is in force, which is newer; start this process again if the older one is meant"));
  }
  return absl::OkStatus();
}

// Of a long name a list has the beginning.
bool HasName(const RevocationList& list, const std::string& subject) {
  const std::string& issuer = list.issuer();
  return subject == issuer ||
         (issuer.size() == RevocationList::kMaxIssuer && absl::StartsWith(subject, issuer));
}

}  // namespace

absl::StatusOr<std::vector<TrustFiles::File>> TrustFiles::ParseFlag(
    absl::string_view text, absl::string_view default_trust_domain) {
  std::vector<File> files;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    File file{std::string(default_trust_domain), std::string(part)};
    const size_t equals = part.find('=');
    if (equals != absl::string_view::npos) {
      file.trust_domain = std::string(part.substr(0, equals));
      file.path = std::string(part.substr(equals + 1));
    } else if (default_trust_domain.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" is not TRUST_DOMAIN=FILE"));
    }
    RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(file.trust_domain));
    if (file.path.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" names no file"));
    }
    files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<std::unique_ptr<TrustFiles>> TrustFiles::Create(Options options, Logger* log,
                                                               MetricRegistry* metrics) {
  auto files = absl::WrapUnique(new TrustFiles(std::move(options), log, metrics));
  for (Watched& watched : files->files_) {
    watched.seen = TakeFileFingerprint(watched.file.path);
    const absl::Status loaded = files->Load(/*first_time=*/true, &watched).status();
    if (!loaded.ok()) return Refusal(watched, loaded);
    watched.crls = std::exchange(watched.waiting, {});
    files->reads_ok_->Increment();
  }
  // By all that the other files say.
  for (Watched& watched : files->files_) files->JudgeInForce(&watched);
  files->ShowAges();
  return files;
}

TrustFiles::TrustFiles(Options options, Logger* log, MetricRegistry* metrics)
    : log_(log),
      clock_(options.clock),
      reads_ok_(metrics->AddCounter(absl::StrCat(options.metrics_prefix, "_trust_file_reads_total"),
                                    kReadsHelp, {{"result", "ok"}})),
      reads_rejected_(
          metrics->AddCounter(absl::StrCat(options.metrics_prefix, "_trust_file_reads_total"),
                              kReadsHelp, {{"result", "rejected"}})),
      crl_this_update_(metrics->AddGauge(
          absl::StrCat(options.metrics_prefix, "_crl_this_update_timestamp_seconds"),
          "When the oldest revocation list read from a file was made, Unix time; 0: there is "
          "none.")),
      crl_next_update_(metrics->AddGauge(
          absl::StrCat(options.metrics_prefix, "_crl_next_update_timestamp_seconds"),
          "When the first revocation list read from a file ends, and with it the trust in those "
          "it is about, Unix time; 0: there is none.")) {
  for (File& file : options.bundles) {
    Watched watched;
    watched.kind = Kind::kBundle;
    watched.file = std::move(file);
    files_.push_back(std::move(watched));
  }
  for (File& file : options.crls) {
    Watched watched;
    watched.kind = Kind::kCrl;
    watched.file = std::move(file);
    files_.push_back(std::move(watched));
  }
}

TrustFiles::~TrustFiles() = default;

bool TrustFiles::Poll() {
  for (Watched& watched : files_) {
    watched.read = watched.changed = false;
    ReadIfChanged(&watched);
  }
  // By all that the other files say now, too.
  TakeWaiting();
  bool changed = false;
  for (Watched& watched : files_) {
    Tell(&watched);
    changed = changed || watched.changed;
  }
  for (Watched& watched : files_) {
    // One file's lists are judged by those of others, too, and what is wrong may pass.
    if (changed || !watched.in_force.ok() ||
        !Same(RootsOf(watched.file.trust_domain), watched.judged_by)) {
      JudgeInForce(&watched);
    }
  }
  if (changed) ShowAges();
  return changed;
}

void TrustFiles::ReadIfChanged(Watched* watched) {
  absl::optional<FileFingerprint> now = TakeFileFingerprint(watched->file.path);
  if (now == watched->seen && !watched->doubted) return;
  watched->seen = now;
  const absl::StatusOr<bool> changed = Load(/*first_time=*/false, watched);
  if (watched->doubted) return;
  watched->read = true;
  watched->changed = changed.value_or(false);
  watched->status = changed.status();
}

void TrustFiles::Tell(Watched* watched) {
  const absl::Status told = std::exchange(watched->told, watched->status);
  if (!watched->status.ok()) {
    if (watched->read) reads_rejected_->Increment();
    if (!watched->read && watched->status == told) return;
    log_->Error("trust file rejected, what it said before stays in force",
                {{"path", watched->file.path}, {"error", watched->status.message()}});
    return;
  }
  if (watched->read || watched->changed) reads_ok_->Increment();
  if (!watched->changed) return;
  if (watched->kind == Kind::kBundle && watched->roots.empty()) {
    log_->Warning("trust domain withdrawn: its bundle file is empty",
                  {{"trust_domain", watched->file.trust_domain}, {"path", watched->file.path}});
    return;
  }
  log_->Info(
      watched->read ? "trust file read" : "revocation lists that were refused are in force now",
      {{"path", watched->file.path},
       {"trust_domain", watched->file.trust_domain},
       {"roots", static_cast<uint64_t>(watched->roots.size())},
       {"revocation_lists", static_cast<uint64_t>(watched->crls.size())}});
}

absl::Status TrustFiles::Refusal(const Watched& watched, const absl::Status& status) {
  const bool is_bundle = watched.kind == Kind::kBundle;
  const std::string& of = watched.file.trust_domain;
  const std::string remedy =
      absl::IsPermissionDenied(status) ? absl::StrCat("let uid ", geteuid(), " read it")
      : is_bundle ? absl::StrCat("give the PEM file with the present roots of ", of)
                  : absl::StrCat("give a PEM or DER file with revocation lists of ", of);
  return absl::Status(
      status.code(),
      absl::StrCat(is_bundle ? "--federated_bundle: " : "--crl: ", status.message(), "; ", remedy));
}

absl::StatusOr<bool> TrustFiles::Load(bool first_time, Watched* watched) const {
  const std::string& path = watched->file.path;
  const bool was_doubted = std::exchange(watched->doubted, false);
  if (watched->kind == Kind::kCrl) {
    RETURN_IF_ERROR(LoadLists(watched));
    return false;
  }
  ASSIGN_OR_RETURN(std::string contents, ReadFile(path, kMaxBundleSize));
  std::vector<CertificatePtr> roots;
  if (absl::StripAsciiWhitespace(contents).empty()) {
    if (!first_time && !was_doubted && !watched->roots.empty()) {
      watched->doubted = true;
      return false;
    }
  } else {
    // Judged as the bundle it is to be, so that a mistake is seen here and not when it is merged.
    absl::StatusOr<TrustBundleSet> set =
        TrustBundleSet::FromPem(watched->file.trust_domain, contents);
    if (!set.ok()) return InFile(path, set.status());
    roots = set->Find(watched->file.trust_domain)->roots;
    if (clock_ != nullptr) {
      const absl::Status current = CheckHasCurrentRoot(roots, clock_->WallNow());
      if (!current.ok()) return InFile(path, current);
    }
  }
  const bool changed = !Same(roots, watched->roots);
  watched->roots = std::move(roots);
  return changed;
}

absl::Status TrustFiles::LoadLists(Watched* watched) const {
  const std::string& path = watched->file.path;
  watched->waiting.clear();
  ASSIGN_OR_RETURN(std::string contents, ReadFile(path, kMaxCrlSize));
  absl::StatusOr<std::vector<RevocationListPtr>> lists = RevocationList::ListFromFile(contents);
  if (!lists.ok()) return InFile(path, lists.status());
  // More than would fit into a bundle are not to be judged, either.
  if (lists->size() > TrustBundleSet::kMaxRevocationLists) {
    return InFile(path, absl::InvalidArgumentError(
                            absl::StrCat("it holds ", lists->size(), " revocation lists; at most ",
                                         TrustBundleSet::kMaxRevocationLists, " are taken")));
  }
  if (!Same(*lists, watched->crls)) watched->waiting = *std::move(lists);
  return absl::OkStatus();
}

void TrustFiles::TakeWaiting() {
  std::map<std::string, std::vector<Watched*>> waiting;
  for (Watched& watched : files_) {
    if (!watched.waiting.empty()) waiting[watched.file.trust_domain].push_back(&watched);
  }
  for (const auto& [trust_domain, files] : waiting) {
    const absl::Status together = Take(files);
    if (together.ok()) continue;
    // One may be good with the others alone. If not, nor is one to wait for what another lacks.
    std::vector<Watched*> left;
    for (Watched* const one : files) {
      const absl::Status alone = files.size() == 1 ? together : Take({one});
      if (alone.ok()) continue;
      one->status = InFile(one->file.path, alone);
      left.push_back(one);
    }
    TakeTogether(std::move(left));
  }
}

absl::Status TrustFiles::Take(const std::vector<Watched*>& files) {
  RETURN_IF_ERROR(MayTake(files));
  for (Watched* const watched : files) {
    watched->status = absl::OkStatus();
    watched->crls = std::exchange(watched->waiting, {});
    watched->changed = true;
  }
  return absl::OkStatus();
}

void TrustFiles::TakeTogether(std::vector<Watched*> files) {
  // What these are refused for is mostly their own, and would keep the others out. Only a list
  // older than that in force is good beside a file with a newer one: it waits until that is in
  // force.
  files.erase(std::remove_if(files.begin(), files.end(),
                             [this](Watched* one) { return !CheckTimes({one}).ok(); }),
              files.end());
  if (files.size() < 2 || Take(files).ok()) return;
  // Whose fault it is a judge does not say. All but one is as far as it is worth trying.
  if (files.size() < 3 || files.size() > kMostTried) return;
  for (size_t i = 0; i < files.size(); ++i) {
    std::vector<Watched*> others = files;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    if (Take(others).ok()) return;
  }
}

std::vector<RevocationListPtr> TrustFiles::ListsWith(const std::vector<Watched*>& files) const {
  std::vector<RevocationListPtr> all;
  for (const Watched& watched : files_) {
    if (watched.file.trust_domain != files.front()->file.trust_domain) continue;
    const bool is_new = std::find(files.begin(), files.end(), &watched) != files.end();
    const std::vector<RevocationListPtr>& lists = is_new ? watched.waiting : watched.crls;
    all.insert(all.end(), lists.begin(), lists.end());
  }
  return all;
}

absl::Status TrustFiles::CheckTimes(const std::vector<Watched*>& files) const {
  const std::vector<RevocationListPtr> all = ListsWith(files);
  const std::vector<CertificatePtr> roots = RootsOf(files.front()->file.trust_domain);
  for (const Watched* const watched : files) {
    for (const RevocationListPtr& list : watched->waiting) {
      if (clock_ != nullptr) RETURN_IF_ERROR(CheckHasBegun(*list, *clock_));
    }
    RETURN_IF_ERROR(CheckTakesNothingBack(all, watched->crls, roots, clock_));
  }
  return absl::OkStatus();
}

absl::Status TrustFiles::MayTake(const std::vector<Watched*>& files) const {
  RETURN_IF_ERROR(CheckTimes(files));
  return CheckSigners(files.front()->file.trust_domain, ListsWith(files));
}

void TrustFiles::JudgeInForce(Watched* watched) {
  if (watched->kind != Kind::kCrl) return;
  const std::string& of = watched->file.trust_domain;
  watched->judged_by = RootsOf(of);
  absl::Status found;
  for (const RevocationListPtr& list : watched->crls) {
    if (clock_ != nullptr) found.Update(CheckHasBegun(*list, *clock_));
  }
  found.Update(CheckSigners(of, RevocationListsOf(of)));
  if (!found.ok()) found = InFile(watched->file.path, found);
  if (found == watched->in_force) return;
  watched->in_force = found;
  if (found.ok()) return;
  log_->Error("revocation lists are in force by which certificates are refused",
              {{"trust_domain", of}, {"error", found.message()}});
}

absl::Status TrustFiles::CheckSigners(const std::string& of,
                                      const std::vector<RevocationListPtr>& lists) const {
  // Of each name that a root and a list have: whether a root of it has signed one.
  std::map<std::string, bool> is_signed;
  std::string name;
  for (const CertificatePtr& root : RootsOf(of)) {
    const std::string subject = root->Subject();
    if (name.empty()) name = subject;
    for (const RevocationListPtr& list : lists) {
      if (!HasName(*list, subject)) continue;
      bool& signed_by_one = is_signed[subject];
      signed_by_one = signed_by_one || list->IsIssuedBy(*root);
    }
  }
  for (const auto& [subject, signed_by_one] : is_signed) {
    if (signed_by_one) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("no revocation list of ", subject, " is signed by the root of ", of,
                     " that has this name and may sign lists (cRLSign)"));
  }
  const auto judge = judges_.find(of);
  if (judge != judges_.end()) return judge->second(lists);
  if (lists.empty() || name.empty() || !is_signed.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("no revocation list of ", of, " is signed by one of its roots (", name,
                   " or another), so every certificate of it would be refused"));
}

std::vector<CertificatePtr> TrustFiles::RootsOf(const std::string& trust_domain) const {
  std::vector<CertificatePtr> roots;
  const auto other = other_roots_.find(trust_domain);
  if (other != other_roots_.end()) roots = other->second;
  for (const Watched& watched : files_) {
    if (watched.kind != Kind::kBundle || watched.file.trust_domain != trust_domain) continue;
    roots.insert(roots.end(), watched.roots.begin(), watched.roots.end());
  }
  return roots;
}

void TrustFiles::SetJudge(const std::string& trust_domain, Judge judge) {
  judges_[trust_domain] = std::move(judge);
}

absl::Status TrustFiles::SetRoots(const std::string& trust_domain,
                                  std::vector<CertificatePtr> roots) {
  std::vector<CertificatePtr>& known = other_roots_[trust_domain];
  if (Same(known, roots)) return absl::OkStatus();
  known = std::move(roots);
  absl::Status wrong;
  for (Watched& watched : files_) {
    if (watched.kind != Kind::kCrl || watched.file.trust_domain != trust_domain) continue;
    JudgeInForce(&watched);
    if (wrong.ok() && !watched.in_force.ok()) wrong = Refusal(watched, watched.in_force);
  }
  return wrong;
}

absl::StatusOr<TrustBundleSet> TrustFiles::AddTo(const TrustBundleSet& base) const {
  TrustBundleMap map = base.bundles();
  for (const Watched& watched : files_) {
    if (watched.kind != Kind::kBundle || watched.roots.empty()) continue;
    if (base.Find(watched.file.trust_domain) != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("file \"", watched.file.path,
                                                     "\" is about our own trust domain ",
                                                     watched.file.trust_domain));
    }
    std::vector<CertificatePtr>& roots = map[watched.file.trust_domain].roots;
    roots.insert(roots.end(), watched.roots.begin(), watched.roots.end());
  }
  ASSIGN_OR_RETURN(TrustBundleSet trusted, TrustBundleSet::Create(std::move(map)));
  return WithRevocationLists(trusted, RevocationLists());
}

RevocationListMap TrustFiles::RevocationLists() const {
  RevocationListMap lists;
  for (const Watched& watched : files_) {
    if (watched.crls.empty()) continue;
    std::vector<RevocationListPtr>& of = lists[watched.file.trust_domain];
    of.insert(of.end(), watched.crls.begin(), watched.crls.end());
  }
  return lists;
}

std::vector<RevocationListPtr> TrustFiles::RevocationListsOf(
    const std::string& trust_domain) const {
  RevocationListMap lists = RevocationLists();
  return std::move(lists[trust_domain]);
}

std::vector<std::string> TrustFiles::Rejected() const {
  std::vector<std::string> rejected;
  for (const Watched& watched : files_) {
    if (!watched.status.ok()) rejected.emplace_back(watched.status.message());
  }
  return rejected;
}

std::vector<std::string> TrustFiles::WrongInForce() const {
  std::vector<std::string> wrong;
  for (const Watched& watched : files_) {
    if (!watched.in_force.ok()) wrong.emplace_back(watched.in_force.message());
  }
  return wrong;
}

void TrustFiles::ShowAges() {
  const auto least = [this](absl::Time (RevocationList::*time)() const) {
    absl::Time result = absl::InfiniteFuture();
    for (const Watched& watched : files_) {
      for (const RevocationListPtr& list : watched.crls) {
        result = std::min(result, ((*list).*time)());
      }
    }
    return result == absl::InfiniteFuture() ? 0 : absl::ToUnixSeconds(result);
  };
  crl_this_update_->Set(least(&RevocationList::this_update));
  crl_next_update_->Set(least(&RevocationList::next_update));
}

}  // namespace byrnie
