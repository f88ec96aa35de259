#include "controlplane/trust/connected_fleet.h"

#include <utility>

#include "absl/container/flat_hash_map.h"

namespace byrnie {
namespace {

// What another process has issued is in the log within that.
constexpr absl::Duration kLateEntries = absl::Seconds(10);

}  // namespace

absl::Status ConnectedFleet::CatchUp(absl::Time now) const {
  if (log_ == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  const absl::Time since =
      read_until_ == absl::InfinitePast() ? now - longest_life_ : read_until_ - kLateEntries;
  const absl::Status read = log_->ForEachSince(since, [&](const IssuanceRecord& record) {
    agents_->holders()->OnIssued(
        {record.serial, record.identity, record.root, record.issued_at, record.not_after},
        record.replaces, now);
  });
  if (read.ok()) read_until_ = now;
  return read;
}

FleetView ConnectedFleet::View(const std::string& next_root, absl::Time now) const {
  FleetView fleet;
  // Without the log nothing is known of what is not connected.
  fleet.complete_since = CatchUp(now).ok() ? complete_since_ : now;
  // Before who is connected: one that connects in between is then seen twice, not missed.
  const std::vector<CertificateHolders::Certificate> held = agents_->holders()->List(now);
  const uint64_t since = bundles_->VersionWith(next_root);
  const auto trusts_next = [since](uint64_t version) { return since != 0 && version >= since; };
  absl::flat_hash_map<std::string, FleetView::Agent*> by_serial;
  std::vector<AgentTable::Agent> connected = agents_->List();
  fleet.agents.reserve(connected.size());  // Pointers into it are kept.
  for (AgentTable::Agent& agent : connected) {
    FleetView::Agent seen;
    seen.id = agent.id.text();
    seen.address = std::move(agent.address);
    seen.trusts_next = trusts_next(agent.acknowledged_bundle_version);
    seen.root = std::move(agent.shown.root);
    seen.not_after = agent.shown.not_after;
    seen.issued_at = absl::InfinitePast();
    seen.connected_since = agent.connected_since;
    fleet.agents.push_back(std::move(seen));
    by_serial[agent.shown.serial] = &fleet.agents.back();
  }
  for (const CertificateHolders::Certificate& certificate : held) {
    const auto shown = by_serial.find(certificate.serial);
    if (shown == by_serial.end()) {
      fleet.absent.push_back({certificate.id, certificate.root, certificate.issued_at,
                              certificate.not_after, trusts_next(certificate.acknowledged)});
      continue;
    }
    shown->second->issued_at = certificate.issued_at;
    shown->second->trusted_next = trusts_next(certificate.acknowledged);
  }
  return fleet;
}

}  // namespace byrnie
