#include "controlplane/operator/connected_agents.h"

#include "absl/strings/str_cat.h"
#include "controlplane/explain/mesh_view.h"

namespace byrnie {
namespace {

std::string KeyOf(const std::string& id, const IpAddress& host) {
  return absl::StrCat(id, " ", host.ToString());
}

}  // namespace

ConnectedAgents::ConnectedAgents(const std::vector<AgentTable::Agent>& agents,
                                 const RegistrySnapshot* registry)
    : registry_(*registry) {
  for (const AgentTable::Agent& agent : agents) {
    const absl::optional<IpAddress> host = MeshView::HostOf(agent);
    if (!host.has_value()) continue;
    bool& connected = at_[KeyOf(agent.id.text(), *host)];
    connected = connected || agent.connected;
    if (agent.connected) hosts_[agent.id.text()].push_back(*host);
  }
}

bool ConnectedAgents::SpeakFor(const istio::workload::Workload& workload) {
  const absl::optional<SpiffeId> id = MeshView::IdentityOf(workload);
  if (!id.has_value()) return false;
  bool was_here = false;
  for (const IpAddress& address : MeshView::AddressesOf(workload)) {
    const auto found = at_.find(KeyOf(id->text(), address));
    if (found == at_.end()) continue;
    if (found->second) return true;
    was_here = true;
  }
  // Its agent connects from the workload's own address: one from elsewhere is another's.
  return !was_here && AnyElsewhere(id->text());
}

bool ConnectedAgents::AnyElsewhere(const std::string& id) {
  const auto known = elsewhere_.find(id);
  if (known != elsewhere_.end()) return known->second;
  bool any = false;
  const auto hosts = hosts_.find(id);
  if (hosts != hosts_.end()) {
    for (const IpAddress& host : hosts->second) any = any || !IsOfAWorkload(host);
  }
  elsewhere_[id] = any;
  return any;
}

bool ConnectedAgents::IsOfAWorkload(const IpAddress& address) {
  const std::string ip = address.ToString();
  if (registry_.AtAddress(absl::StrCat("/", ip)) != nullptr) return true;
  // Of a network with a name, maybe. Rare, so that there is no index of it: an agent that is
  // neither where a workload of its identity is nor in the network without a name.
  if (!addresses_.has_value()) {
    addresses_.emplace();
    for (const auto& entry : registry_.resources(ResourceType::kAddress)) {
      for (const std::string& alias : entry.second.aliases) {
        addresses_->insert(alias.substr(alias.rfind('/') + 1));
      }
    }
  }
  return addresses_->contains(ip);
}

}  // namespace byrnie
