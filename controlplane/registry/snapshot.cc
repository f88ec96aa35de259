#include "controlplane/registry/snapshot.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/registry/content_checker.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace byrnie {
namespace {

// Map fields in a fixed order, or the same content would get another version each time.
std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeWithCachedSizes(&coded);
  }
  return bytes;
}

Resource MakeResource(std::string name, const google::protobuf::MessageLite& message,
                      std::vector<std::string> aliases) {
  message.ByteSizeLong();  // Fills the cached sizes Serialize() uses.
  Resource resource;
  resource.name = std::move(name);
  resource.payload = Serialize(message);
  resource.version = Sha256FingerprintHex(resource.payload).substr(0, 16);
  resource.aliases = std::move(aliases);
  return resource;
}

}  // namespace

absl::string_view ResourceTypeUrl(ResourceType type) {
  return type == ResourceType::kAddress ? "type.googleapis.com/istio.workload.Address"
                                        : "type.googleapis.com/istio.security.Authorization";
}

absl::StatusOr<RegistrySnapshotPtr> RegistrySnapshot::Create(const RegistryContent& content) {
  RETURN_IF_ERROR(CheckRegistryContent(content));
  auto snapshot = absl::WrapUnique(new RegistrySnapshot());
  Resources& addresses = snapshot->resources_[static_cast<size_t>(ResourceType::kAddress)];
  Resources& policies = snapshot->resources_[static_cast<size_t>(ResourceType::kAuthorization)];

  for (const istio::workload::Service& service : content.services) {
    const std::string key = ServiceKey(service);
    std::vector<std::string> aliases;
    for (const auto& address : service.addresses()) {
      aliases.push_back(AddressKey(address.network(), address.address()));
      snapshot->by_address_.emplace(aliases.back(), key);
    }
    istio::workload::Address message;
    *message.mutable_service() = service;
    addresses.emplace(key, MakeResource(key, message, std::move(aliases)));
  }
  for (const istio::workload::Workload& workload : content.workloads) {
    std::vector<std::string> aliases;
    for (const std::string& address : workload.addresses()) {
      aliases.push_back(AddressKey(workload.network(), address));
      snapshot->by_address_.emplace(aliases.back(), workload.uid());
    }
    for (const auto& service : workload.services()) {
      snapshot->endpoints_[service.first].push_back(workload.uid());
    }
    istio::workload::Address message;
    *message.mutable_workload() = workload;
    addresses.emplace(workload.uid(), MakeResource(workload.uid(), message, std::move(aliases)));
  }
  for (const istio::security::Authorization& policy : content.policies) {
    const std::string key = PolicyKey(policy);
    policies.emplace(key, MakeResource(key, policy, {}));
  }
  snapshot->workload_count_ = content.workloads.size();
  snapshot->service_count_ = content.services.size();
  return RegistrySnapshotPtr(std::move(snapshot));
}

RegistrySnapshotPtr RegistrySnapshot::Empty() {
  return RegistrySnapshotPtr(absl::WrapUnique(new RegistrySnapshot()));
}

const Resource* RegistrySnapshot::Find(ResourceType type, absl::string_view name) const {
  const Resources& all = resources(type);
  auto it = all.find(name);
  return it == all.end() ? nullptr : &it->second;
}

std::vector<const Resource*> RegistrySnapshot::Resolve(ResourceType type,
                                                       absl::string_view name) const {
  std::vector<const Resource*> found;
  const Resource* resource = Find(type, name);
  if (resource == nullptr && type == ResourceType::kAddress) {
    auto it = by_address_.find(name);
    if (it != by_address_.end()) resource = Find(type, it->second);
  }
  if (resource == nullptr) return found;
  found.push_back(resource);
  if (type == ResourceType::kAddress) {
    auto it = endpoints_.find(resource->name);
    if (it != endpoints_.end()) {
      for (const std::string& uid : it->second) found.push_back(Find(type, uid));
    }
  }
  return found;
}

RegistryDiff DiffSnapshots(ResourceType type, const RegistrySnapshot& before,
                           const RegistrySnapshot& after) {
  RegistryDiff diff;
  for (const auto& entry : after.resources(type)) {
    const Resource* old = before.Find(type, entry.first);
    if (old == nullptr) {
      diff.added.push_back(entry.first);
    } else if (old->version != entry.second.version) {
      diff.changed.push_back(entry.first);
    }
  }
  for (const auto& entry : before.resources(type)) {
    if (after.Find(type, entry.first) == nullptr) diff.removed.push_back(entry.first);
  }
  return diff;
}

}  // namespace byrnie
