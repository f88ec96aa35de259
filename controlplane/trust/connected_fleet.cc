#include "controlplane/trust/connected_fleet.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "controlplane/trust/fleet_report.h"

namespace byrnie {
namespace {

// What another process has issued is in the log within that, or it says that it was late.
constexpr absl::Duration kLateEntries = absl::Seconds(10);
// How often it is looked whether an entry that could not be read has been mended.
constexpr absl::Duration kLookAgain = absl::Minutes(1);

// Whether its holder has the next root in force, which is in the bundles from version `since` on.
bool Acknowledged(const CertificateHolders::Certificate& certificate, uint64_t since) {
  return since != 0 && certificate.acknowledged >= since;
}

// `shown` is the certificate it has shown, where that is known.
FleetView::Agent Seen(const AgentTable::Agent& agent, const CertificateHolders::Certificate* shown,
                      uint64_t since) {
  FleetView::Agent seen;
  seen.id = agent.id.text();
  seen.address = agent.address;
  seen.trusts_next = (since != 0 && agent.acknowledged_bundle_version >= since) ||
                     (shown != nullptr && Acknowledged(*shown, since));
  seen.root = agent.shown.root;
  seen.not_after = agent.shown.not_after;
  return seen;
}

}  // namespace

absl::StatusOr<absl::Time> ConnectedFleet::CatchUp(absl::Time now) {
  if (log_ == nullptr) return complete_since_;
  absl::MutexLock lock(&mu_);
  // Where the clock was ahead, entries of before may not have been read.
  if (now < read_until_) read_until_ = absl::InfinitePast();
  if (!unreadable_.empty() && now >= read_whole_at_ + kLookAgain) {
    read_until_ = absl::InfinitePast();
  }
  if (read_until_ == absl::InfinitePast()) read_whole_at_ = now;
  const absl::Time since =
      read_until_ == absl::InfinitePast() ? now - longest_life_ : read_until_ - kLateEntries;
  const absl::Status read = log_->ForEachSince(since, [&](const IssuanceRecord& record) {
    if (record.proof == kUnreadableProof) {
      unreadable_[record.serial] = record.issued_at;
      return;
    }
    unreadable_.erase(record.serial);
    // A control plane's own is made anew where its root goes.
    if (!record.audience.empty() || record.proof == kOwnProof) return;
    agents_->holders()->OnIssued({record.serial, record.identity, record.root, record.issued_at,
                                  record.not_after, 0, record.newest_root},
                                 record.replaces);
  });
  if (!read.ok()) return read;
  read_until_ = now;
  absl::Time complete_since = complete_since_;
  for (auto it = unreadable_.begin(); it != unreadable_.end();) {
    const auto at = it++;
    if (at->second + absl::Seconds(1) + longest_life_ <= now) {
      unreadable_.erase(at);
    } else {
      complete_since = std::max(complete_since, at->second + absl::Seconds(1));
    }
  }
  return complete_since;
}

void ConnectedFleet::ReadLogAgain() {
  absl::MutexLock lock(&mu_);
  read_until_ = absl::InfinitePast();
}

FleetView ConnectedFleet::View(const RotationStanding& standing,
                               const absl::flat_hash_set<uint64_t>& acknowledged, absl::Time now) {
  FleetView fleet;
  std::string without_file = WhyWithoutFile(standing);
  if (!without_file.empty()) {
    fleet.without_file.push_back({ControlPlaneFileAgent(name_), std::move(without_file)});
  }
  // Without the log nothing is known of what is not connected.
  fleet.complete_since = CatchUp(now).value_or(now);
  // Before who is connected: one that connects in between is then seen twice, not missed.
  const std::vector<CertificateHolders::Certificate> held = agents_->holders()->List(now);
  const uint64_t since = bundles_->VersionWith(standing.next_root);
  absl::flat_hash_map<std::string, const CertificateHolders::Certificate*> by_serial;
  for (const CertificateHolders::Certificate& certificate : held) {
    by_serial[certificate.serial] = &certificate;
  }
  absl::flat_hash_set<std::string> shown;
  // Where the holder of a certificate is that was replaced and may still be in use.
  absl::flat_hash_map<std::string, std::string> replaced;
  for (const AgentTable::Agent& agent : agents_->List()) {
    const auto of = by_serial.find(agent.shown.serial);
    FleetView::Agent seen = Seen(agent, of == by_serial.end() ? nullptr : of->second, since);
    shown.insert(agent.shown.serial);
    for (auto it = of; it != by_serial.end() && !it->second->replaces.empty();
         it = by_serial.find(it->second->replaces)) {
      replaced[it->second->replaces] = seen.address;
    }
    fleet.agents.push_back(std::move(seen));
  }
  for (const CertificateHolders::Certificate& certificate : held) {
    if (shown.contains(certificate.serial)) continue;
    if (revoked_ && revoked_(certificate.serial)) continue;
    // Came with it: a proxy takes a certificate and what came with it at once or not at all, and
    // the one that it used before is held until it has.
    const bool came = !standing.next_root.empty() && certificate.newest_root == standing.next_root;
    FleetView::Certificate absent{certificate.id, certificate.root, certificate.not_after,
                                  came || Acknowledged(certificate, since) ||
                                      acknowledged.contains(SerialPrefix(certificate.serial))};
    const auto holder = replaced.find(certificate.serial);
    if (holder != replaced.end()) absent.address = holder->second;
    fleet.absent.push_back(std::move(absent));
  }
  return fleet;
}

ConnectedFleet::Own ConnectedFleet::LookAtOwn(const RotationStanding& standing,
                                              absl::Time now) const {
  Own own;
  const uint64_t since = bundles_->VersionWith(standing.next_root);
  const std::vector<CertificateHolders::Certificate> held = agents_->holders()->List(now);
  absl::flat_hash_map<std::string, const CertificateHolders::Certificate*> by_serial;
  for (const CertificateHolders::Certificate& certificate : held) {
    by_serial[certificate.serial] = &certificate;
    const bool came = certificate.newest_root == standing.next_root;
    if (Acknowledged(certificate, since) && !came) {
      own.acknowledged.push_back(SerialPrefix(certificate.serial));
    }
  }
  for (const AgentTable::Agent& agent : agents_->List()) {
    const auto of = by_serial.find(agent.shown.serial);
    own.agents.push_back(Seen(agent, of == by_serial.end() ? nullptr : of->second, since));
  }
  return own;
}

}  // namespace byrnie
