#include "controlplane/agents/agent_table.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/utc_text.h"

namespace byrnie {
namespace {

// "10.0.0.1" of "10.0.0.1:4711".
absl::string_view HostOf(absl::string_view address) {
  return address.substr(0, address.rfind(':'));
}

}  // namespace

void AgentTable::OnStreamOpened(const SpiffeId& id, const std::string& address,
                                Introduction introduction, absl::Time now) {
  holders_.OnShown({introduction.serial, id.text(), introduction.root, absl::InfinitePast(),
                    introduction.not_after});
  bool came = false;
  {
    absl::MutexLock lock(&mu_);
    const Key key{id, address};
    Connection& connection = connections_[key];
    if (connection.streams++ == 0) {
      came = true;
      ++connected_;
      connection.since = now;
      ForgetOthersAt(key);
    }
    connection.last_seen = now;
    if (!introduction.release.empty()) connection.release = std::move(introduction.release);
    connection.shown = {introduction.serial, introduction.root, introduction.not_after};
    Learn(id, std::move(introduction.serial), introduction.not_after, now);
  }
  if (came) Tell(EventKind::kAgentConnected, id, absl::StrCat("connected from ", address));
}

void AgentTable::OnStreamClosed(const SpiffeId& id, const std::string& address, absl::Time now) {
  {
    absl::MutexLock lock(&mu_);
    const auto it = connections_.find({id, address});
    if (it == connections_.end()) return;
    it->second.last_seen = now;
    if (--it->second.streams > 0) return;
    --connected_;
    Sweep(now);
  }
  Tell(EventKind::kAgentDisconnected, id, absl::StrCat("disconnected from ", address));
}

void AgentTable::OnHeard(const SpiffeId& id, const std::string& address,
                         absl::optional<absl::Duration> clock_offset, absl::Time now) {
  absl::MutexLock lock(&mu_);
  const auto it = connections_.find({id, address});
  if (it == connections_.end() || it->second.streams == 0) return;
  it->second.last_seen = now;
  if (clock_offset.has_value()) it->second.clock_offset = clock_offset;
}

void AgentTable::OnBundleAcknowledged(const SpiffeId& id, const std::string& address,
                                      uint64_t version) {
  absl::MutexLock lock(&mu_);
  const auto it = connections_.find({id, address});
  if (it == connections_.end() || it->second.streams == 0) return;
  it->second.acknowledged = std::max(it->second.acknowledged, version);
  holders_.OnAcknowledged(it->second.shown.serial, version);
}

void AgentTable::OnIssued(const SpiffeId& id, const std::string& serial, absl::Time not_after,
                          absl::Time now, const std::string& proof, const std::string& address) {
  {
    absl::MutexLock lock(&mu_);
    issued_[id] = Issued{serial, not_after, proof, now, address};
    Sweep(now);
  }
  Tell(EventKind::kCertificateIssued, id,
       absl::StrCat("certificate ", serial, " until ", UtcText(not_after),
                    proof.empty() ? "" : ", proven by ", proof));
}

void AgentTable::OnRefused(const std::string& address, absl::string_view why) const {
  if (events_ != nullptr) events_->AddOfStranger(EventKind::kCertificateRefused, address, why);
}

std::vector<AgentTable::Agent> AgentTable::List() const { return ListWhere(true); }

std::vector<AgentTable::Agent> AgentTable::ListAll() const { return ListWhere(false); }

std::vector<AgentTable::Agent> AgentTable::ListWhere(bool connected_only) const {
  absl::MutexLock lock(&mu_);
  std::vector<Agent> agents;
  agents.reserve(connections_.size());
  for (const auto& [key, connection] : connections_) {
    if (connected_only && connection.streams == 0) continue;
    Agent agent{key.first,
                key.second,
                connection.since,
                absl::nullopt,
                "",
                connection.acknowledged,
                connection.streams > 0,
                connection.last_seen,
                connection.release,
                connection.clock_offset};
    agent.shown = connection.shown;
    const auto issued = issued_.find(key.first);
    if (issued != issued_.end()) {
      agent.certificate_not_after = issued->second.not_after;
      agent.certificate_serial = issued->second.serial;
      agent.certificate_proof = issued->second.proof;
    }
    agents.push_back(std::move(agent));
  }
  if (connected_only) return agents;
  const size_t connections = agents.size();
  for (const auto& [id, issued] : issued_) {
    const auto of_id = connections_.lower_bound({id, ""});
    const bool is_known = of_id != connections_.end() && of_id->first.first == id;
    if (is_known || issued.at == absl::InfinitePast()) continue;
    Agent agent{id,
                issued.address,
                absl::InfinitePast(),
                issued.not_after,
                issued.serial,
                0,
                false,
                issued.at,
                "",
                absl::nullopt};
    agent.certificate_proof = issued.proof;
    agents.push_back(std::move(agent));
  }
  std::inplace_merge(agents.begin(), agents.begin() + static_cast<std::ptrdiff_t>(connections),
                     agents.end(), [](const Agent& a, const Agent& b) {
                       return std::tie(a.id, a.address) < std::tie(b.id, b.address);
                     });
  return agents;
}

size_t AgentTable::size() const {
  absl::MutexLock lock(&mu_);
  return connected_;
}

// A stream with an older certificate than the newest says nothing new.
void AgentTable::Learn(const SpiffeId& id, std::string serial, absl::Time not_after,
                       absl::Time now) {
  if (serial.empty() || not_after <= now) return;
  const auto known = issued_.find(id);
  if (known != issued_.end() && known->second.not_after >= not_after) return;
  issued_[id] = Issued{std::move(serial), not_after, "", absl::InfinitePast(), ""};
}

// An agent that comes back from another port is the same one. An identity may have very many
// agents: only those of the same host, which are in a row, are looked at.
void AgentTable::ForgetOthersAt(const Key& key) {
  const std::string host = absl::StrCat(HostOf(key.second), ":");
  auto it = connections_.lower_bound({key.first, host});
  while (it != connections_.end() && it->first.first == key.first &&
         absl::StartsWith(it->first.second, host)) {
    it = it->second.streams == 0 ? connections_.erase(it) : std::next(it);
  }
}

// Identities that stopped renewing and agents that do not come back are forgotten, or the table
// would only grow. An expired certificate is remembered as long: it is why nothing works.
void AgentTable::Sweep(absl::Time now) {
  const bool full = connections_.size() - connected_ > kMaxRemembered;
  if (now < next_sweep_ && !full) return;
  next_sweep_ = now + absl::Minutes(1);
  // A tenth at once, or each agent of a fleet that goes away would cost a look at all of them.
  size_t to_drop =
      full ? connections_.size() - connected_ - kMaxRemembered + kMaxRemembered / 10 : 0;
  for (auto it = connections_.begin(); it != connections_.end();) {
    const bool gone = it->second.streams == 0;
    const bool drop = gone && (to_drop > 0 || it->second.last_seen + kRemembered < now);
    if (drop && to_drop > 0) --to_drop;
    it = drop ? connections_.erase(it) : std::next(it);
  }
  for (auto it = issued_.begin(); it != issued_.end();) {
    it = it->second.not_after + kRemembered < now ? issued_.erase(it) : std::next(it);
  }
}

void AgentTable::Tell(EventKind kind, const SpiffeId& id, absl::string_view message) const {
  if (events_ != nullptr) events_->Add(kind, id.text(), message);
}

}  // namespace byrnie
