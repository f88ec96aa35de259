#include "controlplane/trust/connected_fleet.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "controlplane/trust/fleet_report.h"

namespace byrnie {
namespace {

// What another process has issued is in the log within that, or it says that it was late.
constexpr absl::Duration kLateEntries = absl::Seconds(10);

}  // namespace

absl::Status ConnectedFleet::CatchUp(absl::Time now) {
  if (log_ == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  const absl::Time since =
      read_until_ == absl::InfinitePast() ? now - longest_life_ : read_until_ - kLateEntries;
  const absl::Status read = log_->ForEachSince(since, [&](const IssuanceRecord& record) {
    if (!record.audience.empty()) return;
    agents_->holders()->OnIssued({record.serial, record.identity, record.root, record.issued_at,
                                  record.not_after, 0, record.newest_root},
                                 record.replaces, now);
  });
  if (read.ok()) read_until_ = now;
  return read;
}

void ConnectedFleet::ReadLogAgain() {
  absl::MutexLock lock(&mu_);
  read_until_ = absl::InfinitePast();
}

FleetView ConnectedFleet::View(const RotationStanding& standing,
                               const absl::flat_hash_set<uint64_t>& acknowledged, absl::Time now) {
  FleetView fleet;
  // Without the log nothing is known of what is not connected.
  fleet.complete_since = CatchUp(now).ok() ? complete_since_ : now;
  // Before who is connected: one that connects in between is then seen twice, not missed.
  const std::vector<CertificateHolders::Certificate> held = agents_->holders()->List(now);
  const uint64_t since = bundles_->VersionWith(standing.next_root);
  const auto has_next = [&](const CertificateHolders::Certificate& certificate) {
    return (!standing.next_root.empty() && certificate.newest_root == standing.next_root) ||
           (since != 0 && certificate.acknowledged >= since);
  };
  absl::flat_hash_map<std::string, FleetView::Agent*> by_serial;
  std::vector<AgentTable::Agent> connected = agents_->List();
  fleet.agents.reserve(connected.size());  // Pointers into it are kept.
  for (AgentTable::Agent& agent : connected) {
    FleetView::Agent seen;
    seen.id = agent.id.text();
    seen.address = std::move(agent.address);
    seen.trusts_next = since != 0 && agent.acknowledged_bundle_version >= since;
    seen.root = std::move(agent.shown.root);
    seen.not_after = agent.shown.not_after;
    seen.connected_since = agent.connected_since;
    fleet.agents.push_back(std::move(seen));
    by_serial[agent.shown.serial] = &fleet.agents.back();
  }
  for (const CertificateHolders::Certificate& certificate : held) {
    const auto shown = by_serial.find(certificate.serial);
    if (shown != by_serial.end()) {
      shown->second->has_next = has_next(certificate);
      continue;
    }
    fleet.absent.push_back(
        {certificate.id, certificate.root, certificate.not_after,
         has_next(certificate) || acknowledged.contains(SerialPrefix(certificate.serial))});
  }
  return fleet;
}

ConnectedFleet::Own ConnectedFleet::LookAtOwn(const RotationStanding& standing,
                                              absl::Time now) const {
  Own own;
  const uint64_t since = bundles_->VersionWith(standing.next_root);
  absl::flat_hash_map<std::string, bool> has_next;
  for (const CertificateHolders::Certificate& certificate : agents_->holders()->List(now)) {
    const bool acknowledged = since != 0 && certificate.acknowledged >= since;
    const bool came = certificate.newest_root == standing.next_root;
    has_next[certificate.serial] = acknowledged || came;
    if (acknowledged && !came) own.acknowledged.push_back(SerialPrefix(certificate.serial));
  }
  for (AgentTable::Agent& agent : agents_->List()) {
    FleetView::Agent seen;
    seen.id = agent.id.text();
    seen.address = std::move(agent.address);
    seen.trusts_next = since != 0 && agent.acknowledged_bundle_version >= since;
    const auto known = has_next.find(agent.shown.serial);
    seen.has_next = known != has_next.end() && known->second;
    seen.root = std::move(agent.shown.root);
    seen.not_after = agent.shown.not_after;
    seen.connected_since = agent.connected_since;
    own.agents.push_back(std::move(seen));
  }
  return own;
}

}  // namespace byrnie
