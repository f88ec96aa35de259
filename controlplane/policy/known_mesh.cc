#include "controlplane/policy/known_mesh.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/registry/content_checker.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::workload::Workload;

void AddPort(uint32_t port, const std::string& service, uint32_t target, KnownMesh::Area* area) {
  KnownMesh::Target& first = area->service_ports[port];
  if (first.service.empty() || service < first.service) first = {service, target};
}

void AddWorkload(const Workload& workload, KnownMesh::Area* area) {
  ++area->workloads;
  for (const auto& [service, ports] : workload.services()) {
    for (const istio::workload::Port& port : ports.ports()) {
      const uint32_t target = port.target_port() == 0 ? port.service_port() : port.target_port();
      area->target_ports.insert(target);
      AddPort(port.service_port(), service, target, area);
    }
  }
  for (const std::string& bytes : workload.addresses()) area->addresses.Add(bytes);
}

void AddArea(const KnownMesh::Area& part, KnownMesh::Area* whole) {
  whole->workloads += part.workloads;
  whole->target_ports.insert(part.target_ports.begin(), part.target_ports.end());
  for (const auto& [port, target] : part.service_ports) {
    AddPort(port, target.service, target.port, whole);
  }
  whole->addresses.Add(part.addresses);
}

}  // namespace

const KnownMesh::Area& KnownMesh::AreaOf(const Authorization& policy) const {
  const auto in = [this](const Areas& areas, const std::string& key) -> const Area& {
    const auto found = areas.find(key);
    return found == areas.end() ? nobody : found->second;
  };
  switch (policy.scope()) {
    case istio::security::GLOBAL:
      return whole;
    case istio::security::NAMESPACE:
      return in(by_namespace, policy.namespace_());
    case istio::security::WORKLOAD_SELECTOR:
      return in(by_policy, PolicyKey(policy));
    default:
      return nobody;
  }
}

KnownMesh LookAround(const RegistrySnapshot& registry) {
  KnownMesh known;
  std::vector<std::string> principals, namespaces;
  principals.reserve(registry.workload_count());
  // One for all of them: what it has allocated it uses again.
  istio::workload::Address address;
  for (const auto& entry : registry.resources(ResourceType::kAddress)) {
    // Of one whose record cannot be read nothing is known.
    if (entry.second.stand_in) continue;
    if (!address.ParseFromString(entry.second.payload) || !address.has_workload()) continue;
    const Workload& workload = address.workload();
    known.trust_domains.insert(workload.trust_domain());
    principals.push_back(absl::StrCat(workload.trust_domain(), "/ns/", workload.namespace_(),
                                      "/sa/", workload.service_account()));
    AddWorkload(workload, &known.by_namespace[workload.namespace_()]);
    // One that is listed twice selects it once.
    const std::set<std::string> policies(workload.authorization_policies().begin(),
                                         workload.authorization_policies().end());
    for (const std::string& policy : policies) AddWorkload(workload, &known.by_policy[policy]);
  }
  known.principals = KnownTexts(std::move(principals));
  for (auto& [name, area] : known.by_namespace) {
    namespaces.push_back(name);
    area.addresses.Sort();
    AddArea(area, &known.whole);
  }
  known.whole.addresses.Sort();
  for (auto& entry : known.by_policy) entry.second.addresses.Sort();
  known.namespaces = KnownTexts(std::move(namespaces));
  return known;
}

}  // namespace byrnie
