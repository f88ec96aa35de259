#include "controlplane/agents/agent_table.h"

#include <algorithm>

namespace byrnie {

void AgentTable::OnStreamOpened(const SpiffeId& id, const std::string& address, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Connection& connection = connections_[{id, address}];
  if (connection.streams++ == 0) connection.since = now;
}

void AgentTable::OnStreamClosed(const SpiffeId& id, const std::string& address) {
  absl::MutexLock lock(&mu_);
  auto it = connections_.find({id, address});
  if (it != connections_.end() && --it->second.streams == 0) connections_.erase(it);
}

void AgentTable::OnBundleAcknowledged(const SpiffeId& id, const std::string& address,
                                      uint64_t version) {
  absl::MutexLock lock(&mu_);
  auto it = connections_.find({id, address});
  if (it != connections_.end()) {
    it->second.acknowledged = std::max(it->second.acknowledged, version);
  }
}

void AgentTable::OnIssued(const SpiffeId& id, const std::string& serial, absl::Time not_after,
                          absl::Time now, const std::string& proof) {
  absl::MutexLock lock(&mu_);
  issued_[id] = Issued{serial, not_after, proof};
  // Identities that stopped renewing are forgotten, or the table would only grow.
  if (now < next_sweep_) return;
  next_sweep_ = now + absl::Minutes(1);
  for (auto it = issued_.begin(); it != issued_.end();) {
    it = it->second.not_after < now ? issued_.erase(it) : std::next(it);
  }
}

std::vector<AgentTable::Agent> AgentTable::List() const {
  absl::MutexLock lock(&mu_);
  std::vector<Agent> agents;
  agents.reserve(connections_.size());
  for (const auto& entry : connections_) {
    Agent agent{entry.first.first,        entry.first.second, entry.second.since, absl::nullopt, "",
                entry.second.acknowledged};
    auto issued = issued_.find(entry.first.first);
    if (issued != issued_.end()) {
      agent.certificate_not_after = issued->second.not_after;
      agent.certificate_serial = issued->second.serial;
      agent.certificate_proof = issued->second.proof;
    }
    agents.push_back(std::move(agent));
  }
  return agents;
}

size_t AgentTable::size() const {
  absl::MutexLock lock(&mu_);
  return connections_.size();
}

}  // namespace byrnie
