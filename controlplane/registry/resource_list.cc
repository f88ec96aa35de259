#include "controlplane/registry/resource_list.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {

std::string ListedResource::Place() const {
  if (index == kNoIndex) return Describe(*resource);
  switch (resource->kind) {
    case ResourceKind::kWorkload:
      return absl::StrCat("workloads[", index, "]");
    case ResourceKind::kService:
      return absl::StrCat("services[", index, "]");
    case ResourceKind::kPolicy:
      return absl::StrCat("policies[", index, "]");
  }
  return "";
}

absl::StatusOr<ResourceList> ResourceList::Create(RegistrySource source,
                                                  const RegistryContent& content) {
  ResourceList list(source);
  for (const auto& policy : content.policies) RETURN_IF_ERROR(list.Add(policy));
  for (const auto& service : content.services) RETURN_IF_ERROR(list.Add(service));
  for (const auto& workload : content.workloads) RETURN_IF_ERROR(list.Add(workload));
  return list;
}

template <typename Message>
absl::Status ResourceList::AddOne(const Message& message, size_t* count) {
  const absl::Status checked = CheckEntry(message);
  if (!checked.ok()) {
    // A resource of it would have no key, perhaps; its place has to do.
    return absl::Status(checked.code(),
                        absl::StrCat(EntriesName(message), "[", *count, "]: ", checked.message()));
  }
  const size_t index = (*count)++;
  entries_.push_back({MakeResource(source_, message), ordered_ ? index : ListedResource::kNoIndex});
  return absl::OkStatus();
}

absl::Status ResourceList::Add(const istio::workload::Workload& workload) {
  return AddOne(workload, &workloads_);
}

absl::Status ResourceList::Add(const istio::workload::Service& service) {
  return AddOne(service, &services_);
}

absl::Status ResourceList::Add(const istio::security::Authorization& policy) {
  return AddOne(policy, &policies_);
}

void ResourceList::AddAll(const ResourceList& list) {
  entries_.insert(entries_.end(), list.entries_.begin(), list.entries_.end());
}

absl::Status ResourceList::AddStandIn(const istio::security::Authorization& policy) {
  RETURN_IF_ERROR(Add(policy));
  auto stand_in = std::make_shared<Resource>(*entries_.back().resource);
  stand_in->stand_in = true;
  stand_in->version.insert(0, kStandInVersionPrefix);
  entries_.back().resource = std::move(stand_in);
  return absl::OkStatus();
}

}  // namespace byrnie
