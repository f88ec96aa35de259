#include "controlplane/flows/flow_ledger.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/flow/destination_refusal.h"

namespace byrnie {
namespace {

// Soonest, and so that all reporters together report at most so often in a second.
constexpr absl::Duration kShortestInterval = absl::Seconds(5);
constexpr double kReportsPerSecond = 200;
constexpr absl::Duration kSweepInterval = absl::Minutes(1);
// Who has not reported for so long is not counted for the interval.
constexpr absl::Duration kActive = absl::Minutes(15);
// What was denied before is no event any more: a control plane that has just started is told all
// that proxies still know.
constexpr absl::Duration kNews = absl::Minutes(2);

// Of what makes the flow, and who reports it: nobody's has the name of another's.
std::string IdOf(const SpiffeId& reporter, uint64_t instance, absl::string_view key) {
  return absl::StrCat(absl::Hex(instance, absl::kZeroPad16), "-",
                      Sha256FingerprintHex(absl::StrCat(reporter.text(), " ", key)).substr(0, 16));
}

}  // namespace

FlowLedger::FlowLedger(const Clock* clock, EventLog* events, MetricRegistry* metrics, Limits limits)
    : clock_(clock),
      events_(events),
      limits_(limits),
      // Two processes of one control plane do not start in the same microsecond.
      name_(absl::StrCat(absl::Hex(absl::ToUnixMicros(clock->WallNow())))),
      evicted_(
          metrics->AddCounter("byrnie_controlplane_flows_evicted_total",
                              "Flows that agents reported, dropped because there were too many.")) {
  metrics->AddCallbackGauge("byrnie_controlplane_flows",
                            "Flows that agents reported: who has talked to whom.",
                            [this] { return static_cast<double>(size()); });
}

void FlowLedger::Merge(const FlowReporterId& id, uint64_t instance,
                       std::vector<ReportedFlow> flows) {
  std::vector<ReportedFlow> denied;
  {
    absl::MutexLock lock(&mu_);
    Sweep();
    Reporter& reporter = reporters_[id];
    reporter.heard = clock_->WallNow();
    reporter.ended[instance] = false;
    for (ReportedFlow& flow : flows) {
      if (MergeOne(id, &reporter, instance, flow)) denied.push_back(std::move(flow));
    }
  }
  for (const ReportedFlow& flow : denied) TellDenied(id, flow);
}

bool FlowLedger::MergeOne(const FlowReporterId& id, Reporter* reporter, uint64_t instance,
                          const ReportedFlow& flow) {
  const std::pair<uint64_t, std::string> key(instance, flow.Key());
  auto found = reporter->flows.find(key);
  const bool is_new = found == reporter->flows.end();
  if (is_new) {
    MakeRoom(reporter);
    found = reporter->flows.emplace(key, Stored()).first;
    found->second.id = IdOf(id.id, instance, key.second);
    found->second.first_seen = flow.first_seen;
    OnResized(reporter);
  }
  Stored& stored = found->second;
  if (!is_new && stored.flow.counted_since != flow.counted_since) {
    stored.opened_before += stored.flow.opened;
    stored.bytes_sent_before += stored.flow.bytes_sent;
    stored.bytes_received_before += stored.flow.bytes_received;
  }
  stored.flow = flow;
  stored.reported_at = clock_->WallNow();
  if (stored.told || flow.verdict != ReportedFlow::Verdict::kDenied) return false;
  // Of a large fleet reports are rare.
  stored.told = flow.last_seen + std::max(kNews, 2 * Interval()) >= stored.reported_at;
  return stored.told;
}

void FlowLedger::OnEnded(const FlowReporterId& id, uint64_t instance) {
  absl::MutexLock lock(&mu_);
  const auto reporter = reporters_.find(id);
  if (reporter == reporters_.end()) return;
  const auto known = reporter->second.ended.find(instance);
  if (known != reporter->second.ended.end()) known->second = true;
}

void FlowLedger::MakeRoom(Reporter* reporter) {
  if (reporter->flows.size() >= limits_.flows_per_reporter) DropOldest(reporter);
  if (size_ >= limits_.flows) DropOldest(by_size_.rbegin()->second);
}

void FlowLedger::DropOldest(Reporter* reporter) {
  const auto oldest = std::min_element(
      reporter->flows.begin(), reporter->flows.end(),
      [](const auto& a, const auto& b) { return a.second.reported_at < b.second.reported_at; });
  if (oldest == reporter->flows.end()) return;
  reporter->flows.erase(oldest);
  OnResized(reporter);
  evicted_->Increment();
}

void FlowLedger::OnResized(Reporter* reporter) {
  by_size_.erase({reporter->counted, reporter});
  size_ += reporter->flows.size();
  size_ -= reporter->counted;
  reporter->counted = reporter->flows.size();
  if (reporter->counted > 0) by_size_.insert({reporter->counted, reporter});
}

void FlowLedger::Sweep() {
  const absl::Time now = clock_->WallNow();
  if (now < next_sweep_) return;
  next_sweep_ = now + kSweepInterval;
  active_ = 0;
  for (auto reporter = reporters_.begin(); reporter != reporters_.end();) {
    Flows& flows = reporter->second.flows;
    for (auto it = flows.begin(); it != flows.end();) {
      const bool old = it->second.reported_at + limits_.remembered < now;
      it = old ? flows.erase(it) : std::next(it);
    }
    OnResized(&reporter->second);
    // Proxies whose flows have all gone need not be known.
    std::map<uint64_t, bool>& ended = reporter->second.ended;
    for (auto it = ended.begin(); it != ended.end();) {
      const auto first = flows.lower_bound({it->first, ""});
      const bool gone = first == flows.end() || first->first.first != it->first;
      it = gone ? ended.erase(it) : std::next(it);
    }
    if (reporter->second.heard + kActive > now) ++active_;
    reporter = flows.empty() ? reporters_.erase(reporter) : std::next(reporter);
  }
}

void FlowLedger::TellDenied(const FlowReporterId& id, const ReportedFlow& flow) const {
  const bool destination = flow.side == ReportedFlow::Side::kDestination;
  // The destination says so itself.
  if (!destination && (flow.peer.has_value() || IsDestinationRefusal(flow.reason))) return;
  const std::string source = !destination              ? id.id.text()
                             : flow.peer.has_value()   ? flow.peer->text()
                             : flow.source.has_value() ? flow.source->ToString()
                                                       : "a client without identity";
  // Whoever reports can report much: not to push out the rest.
  events_->AddOfStranger(
      EventKind::kConnectionDenied, id.id.text(),
      absl::StrCat(source, " to ", flow.destination.ToString(), ": ", flow.reason));
}

std::vector<FlowLedger::Entry> FlowLedger::List() const {
  std::vector<Entry> entries;
  {
    absl::MutexLock lock(&mu_);
    entries.reserve(size_);
    for (const auto& [id, reporter] : reporters_) {
      for (const auto& [key, stored] : reporter.flows) {
        const auto ended = reporter.ended.find(key.first);
        Entry entry{stored.id, id, ended != reporter.ended.end() && ended->second, stored.flow};
        entry.flow.opened += stored.opened_before;
        // What the reporter dropped had ended.
        entry.flow.closed += stored.opened_before;
        entry.flow.bytes_sent += stored.bytes_sent_before;
        entry.flow.bytes_received += stored.bytes_received_before;
        entry.flow.first_seen = std::min(stored.first_seen, stored.flow.first_seen);
        entries.push_back(std::move(entry));
      }
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.id < b.id; });
  return entries;
}

size_t FlowLedger::size() const {
  absl::MutexLock lock(&mu_);
  return size_;
}

absl::Duration FlowLedger::ReportInterval() const {
  absl::MutexLock lock(&mu_);
  return Interval();
}

absl::Duration FlowLedger::Interval() const {
  return std::max(kShortestInterval,
                  absl::Seconds(static_cast<double>(active_) / kReportsPerSecond));
}

}  // namespace byrnie
