#include "controlplane/trust/shared_fleet.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {

constexpr absl::Duration SharedFleet::kBeat;
constexpr absl::Duration SharedFleet::kShortestInterval;
constexpr absl::Duration SharedFleet::kSilent;

absl::StatusOr<SharedFleet::Reports> SharedFleet::List() {
  Reports reports;
  ASSIGN_OR_RETURN(reports.all, reports_.List(&reports.unreadable));
  std::vector<FleetReport> others;
  for (const FleetReport& report : reports.all) {
    if (report.instance != options_.instance) others.push_back(report);
  }
  {
    absl::MutexLock lock(&mu_);
    clocks_.Look(others, clock_->WallNow(), clock_->MonotonicNow());
  }
  if (options_.unreadable == nullptr) return reports;
  std::vector<UnreadableRecord> told;
  for (const UnreadableReport& report : reports.unreadable) {
    told.push_back(
        {report.key, "the record is damaged",
         absl::StrCat(options_.plugged ? "" : "no rotation of the root goes on, because ",
                      "nobody knows what ", ControlPlaneAgent(report.name), " has to say"),
         absl::StrCat("where that process runs it writes another within a minute; else ",
                      options_.unreadable->DeleteByHand(report.key))});
  }
  options_.unreadable->Set(UnreadableRecords::Kind::kControlPlane, std::move(told));
  return reports;
}

// Of the wall clock, which is compared with others', whatever gates go by.
std::string SharedFleet::Doubt(const FleetReport& report) const {
  absl::MutexLock lock(&mu_);
  return clocks_.Doubt(report, clock_->WallNow(), clock_->MonotonicNow());
}

absl::optional<absl::Duration> SharedFleet::Ahead(const FleetReport& report) const {
  absl::MutexLock lock(&mu_);
  return clocks_.Ahead(report, clock_->WallNow(), clock_->MonotonicNow());
}

absl::Time SharedFleet::HeardOf(const FleetReport& report) const {
  absl::MutexLock lock(&mu_);
  return clocks_.WrittenAt(report, clock_->WallNow(), clock_->MonotonicNow());
}

FleetReport SharedFleet::OwnReport(const RotationStanding& standing, absl::Time now) const {
  FleetReport report;
  report.name = options_.name;
  report.instance = options_.instance;
  // By that others compare clocks.
  report.written_at = clock_->WallNow();
  report.issues_without_store = options_.issues_without_store;
  report.trust_revision = standing.revision;
  report.trust = OwnTrust();
  {
    absl::MutexLock lock(&mu_);
    report.settings = settings_;
  }
  if (log_ != nullptr) report.late_issuances = log_->LateWrites().value_or(0);
  report.without_file = own_->WhyWithoutFile(standing);
  if (standing.next_root.empty()) return report;
  ConnectedFleet::Own own = own_->LookAtOwn(standing, now);
  for (FleetView::Agent& agent : own.agents) {
    if (agent.trusts_next) continue;
    if (report.waiting.size() == FleetReport::kMaxWaiting) {
      ++report.waiting_more;
      continue;
    }
    report.waiting.push_back(
        {std::move(agent.id), std::move(agent.address), std::move(agent.root), agent.not_after});
  }
  std::sort(own.acknowledged.begin(), own.acknowledged.end());
  if (own.acknowledged.size() > FleetReport::kMaxAcknowledged) {
    own.acknowledged.resize(FleetReport::kMaxAcknowledged);
  }
  report.acknowledged = std::move(own.acknowledged);
  return report;
}

void SharedFleet::SetSettings(SettingDigests settings) {
  absl::MutexLock lock(&mu_);
  settings_ = std::move(settings);
}

TrustDigest SharedFleet::OwnTrust() const {
  if (options_.authority == nullptr) return TrustDigest();
  return DigestOf(*options_.authority->snapshot(), options_.plugged);
}

absl::Status SharedFleet::CheckMayJoin(Store* store, const std::string& name,
                                       const TrustDigest& trust, absl::Time now) {
  std::vector<UnreadableReport> unreadable;
  ASSIGN_OR_RETURN(const std::vector<FleetReport> reports,
                   StoredFleetReports(store).List(&unreadable));
  for (const FleetReport& other : reports) {
    // One of that name was before it, and one that is silent is no reason not to start.
    if (other.name == name || other.written_at + kSilent < now) continue;
    const std::string refused = CompareTrust(trust, other.trust).refused_here;
    if (refused.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "root-cert.pem has not the root ", ShortFingerprint(refused), " (SHA-256), under which \"",
        other.name, "\", another control plane of the store, signs",
        other.trust.plugged ? "" : " with roots of its own",
        ": agents of this one would refuse what that one issues; give it the same CA, or a "
        "root-cert.pem with both roots where the mesh moves from one to the other, or --store with "
        "a path of its own where it is another mesh's; one that has ended is not asked for from ",
        UtcText(other.written_at + kSilent), " on"));
  }
  return absl::OkStatus();
}

absl::Status SharedFleet::Join(const RotationStanding& standing) {
  FleetReport report = OwnReport(standing, clock_->WallNow());
  RETURN_IF_ERROR(reports_.Write(report));
  ASSIGN_OR_RETURN(const Reports reports, List());
  for (const FleetReport& other : reports.all) {
    if (other.name != options_.name || other.instance == options_.instance) continue;
    RETURN_IF_ERROR(reports_.Remove(other.name, other.instance));
  }
  absl::MutexLock lock(&mu_);
  written_ = std::move(report);
  written_at_ = clock_->MonotonicNow();
  return absl::OkStatus();
}

void SharedFleet::Leave() {
  // What it has issued and not logged, others wait for as for one that is silent.
  if (log_ != nullptr && !log_->LateWrites().has_value()) return;
  const absl::Status removed = reports_.Remove(options_.name, options_.instance);
  if (!removed.ok()) {
    logger_->Warning("others may wait for this control plane when they rotate the root",
                     {{"error", removed.message()}});
  }
}

absl::StatusOr<std::vector<SharedFleet::Peer>> SharedFleet::Peers(absl::Time now) {
  ASSIGN_OR_RETURN(const Reports reports, List());
  // With a plugged CA nobody asks for more.
  CheckIsThere(reports);
  const TrustDigest own = OwnTrust();
  std::vector<Peer> peers;
  for (const FleetReport& report : reports.all) {
    if (report.instance == options_.instance) continue;
    // By a clock that is ahead everybody has ended.
    if (HasEnded(report, now) && Doubt(report).empty()) continue;
    Peer peer{report.name, HeardOf(report)};
    peer.instance = report.instance;
    peer.silent = peer.heard_of + kSilent < now;
    peer.ahead = Ahead(report);
    if (!peer.silent) {
      peer.trust = CompareTrust(own, report.trust);
      absl::MutexLock lock(&mu_);
      peer.settings = DifferentSettings(settings_, report.settings);
    }
    peers.push_back(std::move(peer));
  }
  std::sort(peers.begin(), peers.end(), [](const Peer& a, const Peer& b) {
    return std::tie(a.name, a.instance) < std::tie(b.name, b.instance);
  });
  TellOfTrust(peers);
  return peers;
}

void SharedFleet::TellOfTrust(const std::vector<Peer>& peers) {
  std::map<std::string, Told> now, before;
  for (const Peer& peer : peers) {
    const std::string text = DifferenceText(peer.name, peer.trust);
    if (!text.empty()) now[peer.instance] = {peer.name, text};
  }
  {
    absl::MutexLock lock(&mu_);
    before = std::exchange(told_, now);
  }
  std::set<std::string> differed, differ;
  for (const auto& [instance, told] : before) differed.insert(told.name);
  for (const auto& [instance, told] : now) differ.insert(told.name);
  for (const Peer& peer : peers) {
    const auto told = now.find(peer.instance);
    if (told == now.end()) {
      // Also by another process, which has taken the place of that one.
      if (peer.silent || differ.count(peer.name) != 0 || differed.erase(peer.name) == 0) continue;
      logger_->Info("another control plane of the store has the same roots again",
                    {{"name", peer.name}});
      continue;
    }
    const auto last = before.find(peer.instance);
    if (last != before.end() && last->second.text == told->second.text) continue;
    if (peer.trust.refuses()) {
      logger_->Error("another control plane of the store does not sign and trust as this one does",
                     {{"name", peer.name}, {"difference", told->second.text}});
    } else {
      logger_->Warning("another control plane of the store has other roots",
                       {{"name", peer.name}, {"difference", told->second.text}});
    }
  }
}

absl::StatusOr<std::vector<std::string>> SharedFleet::Others(absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<Peer> peers, Peers(now));
  std::set<std::string> names;
  for (const Peer& peer : peers) {
    if (!peer.silent) names.insert(peer.name);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

void SharedFleet::Follow(const RotationStanding& standing, absl::Time now) {
  // First what it has issued is to be where others look for it.
  if (log_ != nullptr && !log_->LateWrites().has_value()) return;
  FleetReport report = OwnReport(standing, now);
  bool beat = false;
  {
    absl::MutexLock lock(&mu_);
    const absl::Duration age = clock_->MonotonicNow() - written_at_;
    beat = !written_.has_value() || age >= kBeat;
    const bool moved = !beat && written_->trust_revision != standing.revision;
    if (!beat && !moved && (age < kShortestInterval || written_->SaysTheSame(report))) return;
  }
  if (beat) TidyUp(now);
  // What the store cannot do it has logged itself; until it can, others wait.
  if (!reports_.Write(report).ok()) return;
  absl::MutexLock lock(&mu_);
  written_ = std::move(report);
  written_at_ = clock_->MonotonicNow();
}

absl::Time SharedFleet::EndOf(const FleetReport& report) const {
  return HeardOf(report) + kBeat + report.issues_without_store + own_->longest_life();
}

bool SharedFleet::HasEnded(const FleetReport& report, absl::Time now) const {
  return EndOf(report) <= now;
}

void SharedFleet::TidyUp(absl::Time now) {
  const absl::StatusOr<Reports> reports = List();
  if (!reports.ok()) return;
  for (const FleetReport& report : reports->all) {
    if (report.instance == options_.instance || !HasEnded(report, now)) continue;
    if (!Doubt(report).empty()) continue;
    logger_->Info("a control plane that has not been heard of is forgotten",
                  {{"name", report.name}});
    reports_.Remove(report.name, report.instance).IgnoreError();
  }
}

void SharedFleet::NoteLateIssuances(const std::vector<FleetReport>& reports) {
  std::map<std::string, uint32_t> now;
  bool again = false;
  {
    absl::MutexLock lock(&mu_);
    for (const FleetReport& report : reports) {
      now[report.instance] = report.late_issuances;
      const auto before = late_issuances_.find(report.instance);
      again |= (before == late_issuances_.end() ? 0 : before->second) != report.late_issuances;
    }
  }
  // Which may wait for somebody who reads the log: the event loop waits for mu_. Before it is
  // noted: whoever finds nothing new is to have it.
  if (again) own_->ReadLogAgain();
  absl::MutexLock lock(&mu_);
  late_issuances_ = std::move(now);
}

FleetView SharedFleet::View(const RotationStanding& standing, absl::Time now) {
  const absl::StatusOr<Reports> reports = List();
  absl::flat_hash_set<uint64_t> acknowledged;
  if (reports.ok()) {
    NoteLateIssuances(reports->all);
    for (const FleetReport& report : reports->all) {
      if (report.trust_revision != standing.revision) continue;
      acknowledged.insert(report.acknowledged.begin(), report.acknowledged.end());
    }
  }
  FleetView view = own_->View(standing, acknowledged, now);
  if (!reports.ok()) {
    view.control_planes.push_back(
        {ControlPlaneAgent("unknown"),
         absl::StrCat("others of this store cannot be asked: ", reports.status().message())});
    return view;
  }
  for (const UnreadableReport& report : reports->unreadable) {
    view.control_planes.push_back(
        {ControlPlaneAgent(report.name.empty() ? "unknown" : report.name),
         absl::StrCat("has written \"", report.key, "\", which cannot be read")});
  }
  CheckIsThere(*reports);
  for (const FleetReport& report : reports->all) {
    if (report.instance == options_.instance) continue;
    const std::string doubt = Doubt(report);
    if (!doubt.empty()) {
      FleetView::ControlPlane other{ControlPlaneAgent(report.name), doubt};
      other.other_clock = Ahead(report).has_value();
      view.control_planes.push_back(std::move(other));
    }
    if (!HasEnded(report, now)) AddReport(report, standing, now, &view);
  }
  return view;
}

void SharedFleet::CheckIsThere(const Reports& reports) {
  bool taken = false;
  for (const FleetReport& report : reports.all) {
    if (report.instance == options_.instance) return;
    taken |= report.name == options_.name;
  }
  {
    absl::MutexLock lock(&mu_);
    if (!written_.has_value()) return;
    written_.reset();
  }
  // Of one that was silent for long others have forgotten it.
  if (!taken) return;
  logger_->Error(
      "another control plane has taken this one's name; give each of those that share a store "
      "its own --name",
      {{"name", options_.name}});
}

void SharedFleet::AddReport(const FleetReport& report, const RotationStanding& standing,
                            absl::Time now, FleetView* view) const {
  const std::string agent = ControlPlaneAgent(report.name);
  // What it has issued does not hang on these roots; that it runs does not pass by itself.
  if (report.trust.plugged) {
    if (HeardOf(report) + kSilent < now) return;
    view->control_planes.push_back(
        {agent, "signs with a plugged CA and follows no rotation: two CAs share the store"});
    return;
  }
  if (report.trust_revision != standing.revision) {
    const absl::Time until = EndOf(report);
    view->control_planes.push_back(
        {agent,
         absl::StrCat("has not taken in where the rotation stands, was heard of at ",
                      UtcText(HeardOf(report)), ", and what it may have issued since ends by ",
                      UtcText(until)),
         until});
    return;
  }
  if (HeardOf(report) + kSilent < now) return;
  if (!report.without_file.empty()) {
    view->without_file.push_back({ControlPlaneFileAgent(report.name), report.without_file});
  }
  for (const FleetReport::WaitingAgent& waiting : report.waiting) {
    FleetView::Agent seen;
    seen.id = waiting.agent;
    seen.address = waiting.address;
    seen.root = waiting.root;
    seen.not_after = waiting.not_after;
    view->agents.push_back(std::move(seen));
  }
  if (report.waiting_more > 0) {
    view->control_planes.push_back(
        {agent, absl::StrCat("has ", report.waiting_more,
                             " more agents that have not acknowledged a trust bundle with the next "
                             "root")});
  }
}

}  // namespace byrnie
