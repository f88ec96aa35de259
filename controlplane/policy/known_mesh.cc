#include "controlplane/policy/known_mesh.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controlplane/registry/content_checker.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::workload::Workload;

bool Concerns(const Authorization& policy, const Workload& workload) {
  if (policy.scope() == istio::security::NAMESPACE) {
    return workload.namespace_() == policy.namespace_();
  }
  if (policy.scope() != istio::security::WORKLOAD_SELECTOR) {
    return policy.scope() == istio::security::GLOBAL;
  }
  const auto& selected = workload.authorization_policies();
  return std::find(selected.begin(), selected.end(), PolicyKey(policy)) != selected.end();
}

void AddPorts(const Workload& workload, KnownMesh* known) {
  for (const auto& [service, ports] : workload.services()) {
    for (const istio::workload::Port& port : ports.ports()) {
      const uint32_t target = port.target_port() == 0 ? port.service_port() : port.target_port();
      known->target_ports.insert(target);
      KnownMesh::Target& first = known->service_ports[port.service_port()];
      if (first.service.empty() || service < first.service) first = {service, target};
    }
  }
}

}  // namespace

KnownMesh LookAround(const Authorization& policy, const RegistrySnapshot& registry) {
  KnownMesh known;
  for (const auto& entry : registry.resources(ResourceType::kAddress)) {
    // Of one whose record cannot be read nothing is known.
    if (entry.second.stand_in) continue;
    istio::workload::Address address;
    if (!address.ParseFromString(entry.second.payload) || !address.has_workload()) continue;
    const Workload& workload = address.workload();
    known.namespaces.insert(workload.namespace_());
    known.ground.trust_domains.insert(workload.trust_domain());
    known.ground.principals.insert(absl::StrCat(workload.trust_domain(), "/ns/",
                                                workload.namespace_(), "/sa/",
                                                workload.service_account()));
    known.ground.sources.insert(workload.addresses().begin(), workload.addresses().end());
    if (!Concerns(policy, workload)) continue;
    ++known.workloads_concerned;
    AddPorts(workload, &known);
    for (const std::string& bytes : workload.addresses()) {
      istio::security::Address* const block = known.ground.addresses.Add();
      block->set_address(bytes);
      block->set_length(static_cast<uint32_t>(bytes.size() * 8));
    }
  }
  return known;
}

}  // namespace byrnie
