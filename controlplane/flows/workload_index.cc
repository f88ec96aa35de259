#include "controlplane/flows/workload_index.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/explain/mesh_view.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {
namespace {

absl::optional<WorkloadIndex::Workload> Parse(const Resource& resource) {
  // Nothing is known of what cannot be read.
  if (resource.stand_in) return absl::nullopt;
  istio::workload::Address address;
  if (!address.ParseFromString(resource.payload) || !address.has_workload()) return absl::nullopt;
  const istio::workload::Workload& message = address.workload();
  WorkloadIndex::Workload workload;
  workload.uid = message.uid();
  workload.ns = message.namespace_();
  workload.name = MeshView::NameOf(message);
  workload.identity = MeshView::IdentityOf(message);
  workload.addresses = MeshView::AddressesOf(message);
  for (const std::string& policy : message.authorization_policies()) {
    workload.policies.push_back(policy);
  }
  return workload;
}

}  // namespace

WorkloadIndex::WorkloadIndex(const RegistrySnapshot* registry) : registry_(*registry) {
  for (const auto& entry : registry_.resources(ResourceType::kAddress)) {
    for (const std::string& alias : entry.second.aliases) {
      const absl::string_view view = alias;
      by_address_.emplace(view.substr(view.rfind('/') + 1), &entry.second);
    }
  }
}

const WorkloadIndex::Workload* WorkloadIndex::Find(const IpAddress& address) const {
  auto found = found_.find(address);
  if (found == found_.end()) {
    const auto resource = by_address_.find(address.ToString());
    found = found_
                .emplace(address,
                         resource == by_address_.end() ? absl::nullopt : Parse(*resource->second))
                .first;
  }
  return found->second.has_value() ? &*found->second : nullptr;
}

const std::vector<IpAddress>* WorkloadIndex::AddressesOf(const SpiffeId& id) const {
  if (!of_identity_.has_value()) {
    of_identity_.emplace();
    for (const auto& entry : registry_.resources(ResourceType::kAddress)) {
      const absl::optional<Workload> workload = Parse(entry.second);
      if (!workload.has_value() || !workload->identity.has_value() || workload->addresses.empty()) {
        continue;
      }
      std::vector<IpAddress>& addresses = (*of_identity_)[workload->identity->text()];
      addresses.insert(addresses.end(), workload->addresses.begin(), workload->addresses.end());
    }
  }
  const auto found = of_identity_->find(id.text());
  return found == of_identity_->end() ? nullptr : &found->second;
}

std::vector<WorkloadIndex::Workload> WorkloadIndex::InNamespace(absl::string_view ns) const {
  std::vector<Workload> workloads;
  for (const auto& entry : registry_.resources(ResourceType::kAddress)) {
    absl::optional<Workload> workload = Parse(entry.second);
    if (workload.has_value() && workload->ns == ns) workloads.push_back(*std::move(workload));
  }
  return workloads;
}

bool BelongsToAnother(const RegistrySnapshot& registry, const IpAddress& address,
                      const SpiffeId& id) {
  const auto found =
      registry.Resolve(ResourceType::kAddress, absl::StrCat("/", address.ToString()));
  if (found.empty()) return false;
  const absl::optional<WorkloadIndex::Workload> workload = Parse(*found.front());
  return workload.has_value() && workload->identity.has_value() && *workload->identity != id;
}

}  // namespace byrnie
