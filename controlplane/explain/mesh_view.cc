#include "controlplane/explain/mesh_view.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

istio::workload::Address Parse(const Resource& resource) {
  istio::workload::Address address;
  address.ParseFromString(resource.payload);
  return address;
}

// The resource with an address, in whatever network.
const Resource* AtAddress(const RegistrySnapshot& registry, const IpAddress& ip) {
  const auto found = registry.Resolve(ResourceType::kAddress, absl::StrCat("/", ip.ToString()));
  if (!found.empty()) return found.front();
  const std::string suffix = absl::StrCat("/", ip.ToString());
  for (const auto& entry : registry.resources(ResourceType::kAddress)) {
    for (const std::string& alias : entry.second.aliases) {
      if (absl::EndsWith(alias, suffix)) return &entry.second;
    }
  }
  return nullptr;
}

// The first resource for which `wanted` is true, of those whose payload has the last part of `name`
// in it. There is no index of names: they are asked for by people, one at a time, and looking
// through 100 000 workloads without parsing them takes milliseconds.
template <typename Wanted>
const Resource* FirstOf(const RegistrySnapshot& registry, absl::string_view name,
                        const Wanted& wanted) {
  const absl::string_view last = name.substr(name.rfind('/') + 1);
  for (const auto& entry : registry.resources(ResourceType::kAddress)) {
    if (!absl::StrContains(entry.second.payload, last)) continue;
    if (wanted(Parse(entry.second))) return &entry.second;
  }
  return nullptr;
}

}  // namespace

absl::optional<MeshView::Workload> MeshView::FindWorkload(absl::string_view name) const {
  const RegistrySnapshot& registry = *facts_.registry;
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(name);
  const Resource* resource =
      ip.ok() ? AtAddress(registry, *ip) : registry.Find(ResourceType::kAddress, name);
  if (resource == nullptr && !ip.ok()) {
    resource = FirstOf(registry, name, [name](const istio::workload::Address& address) {
      if (!address.has_workload()) return false;
      const absl::optional<SpiffeId> id = IdentityOf(address.workload());
      return NameOf(address.workload()) == name || (id.has_value() && id->text() == name);
    });
  }
  if (resource == nullptr) return absl::nullopt;
  const istio::workload::Address address = Parse(*resource);
  if (!address.has_workload()) return absl::nullopt;
  return address.workload();
}

absl::optional<MeshView::Service> MeshView::FindService(absl::string_view name) const {
  const RegistrySnapshot& registry = *facts_.registry;
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(name);
  const Resource* resource =
      ip.ok() ? AtAddress(registry, *ip) : registry.Find(ResourceType::kAddress, name);
  if (resource == nullptr && !ip.ok()) {
    resource = FirstOf(registry, name, [name](const istio::workload::Address& address) {
      const Service& service = address.service();
      return address.has_service() &&
             (service.hostname() == name ||
              absl::StrCat(service.namespace_(), "/", service.name()) == name);
    });
  }
  if (resource == nullptr) return absl::nullopt;
  const istio::workload::Address address = Parse(*resource);
  if (!address.has_service()) return absl::nullopt;
  return address.service();
}

bool MeshView::IsUnreadable(absl::string_view key) const {
  const Resource* const resource = facts_.registry->Find(ResourceType::kAddress, key);
  return resource != nullptr && resource->stand_in;
}

std::vector<MeshView::Workload> MeshView::EndpointsOf(const Service& service) const {
  std::vector<Workload> endpoints;
  for (const Resource* resource :
       facts_.registry->Resolve(ResourceType::kAddress, ServiceKey(service))) {
    const istio::workload::Address address = Parse(*resource);
    if (address.has_workload()) endpoints.push_back(address.workload());
  }
  std::sort(endpoints.begin(), endpoints.end(),
            [](const Workload& a, const Workload& b) { return a.uid() < b.uid(); });
  return endpoints;
}

std::vector<AgentTable::Agent> MeshView::AgentsOf(const SpiffeId& id) const {
  std::vector<AgentTable::Agent> found;
  for (const AgentTable::Agent& agent : facts_.agents) {
    if (agent.id == id) found.push_back(agent);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const AgentTable::Agent& a, const AgentTable::Agent& b) {
                     if (a.connected != b.connected) return a.connected;
                     return a.last_seen > b.last_seen;
                   });
  return found;
}

absl::optional<AgentTable::Agent> MeshView::AgentAt(const IpAddress& address) const {
  for (const AgentTable::Agent& agent : facts_.agents) {
    if (agent.connected && HostOf(agent) == address) return agent;
  }
  return absl::nullopt;
}

absl::optional<IpAddress> MeshView::HostOf(const AgentTable::Agent& agent) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(agent.address);
  if (!address.ok()) return absl::nullopt;
  return address->ip();
}

absl::optional<SpiffeId> MeshView::IdentityOf(const Workload& workload) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::StrCat(
      "spiffe://", workload.trust_domain().empty() ? "cluster.local" : workload.trust_domain(),
      "/ns/", workload.namespace_(), "/sa/", workload.service_account()));
  if (!id.ok()) return absl::nullopt;
  return *id;
}

std::vector<IpAddress> MeshView::AddressesOf(const Workload& workload) {
  std::vector<IpAddress> addresses;
  for (const std::string& bytes : workload.addresses()) {
    const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(bytes);
    if (ip.ok()) addresses.push_back(*ip);
  }
  return addresses;
}

std::string MeshView::NameOf(const Workload& workload) {
  return absl::StrCat(workload.namespace_(), "/", workload.name());
}

}  // namespace byrnie
