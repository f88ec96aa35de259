#ifndef BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_LIST_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_LIST_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/resource.h"

namespace byrnie {

// A resource and its place in what its source says.
struct ListedResource {
  // What comes from nowhere that has an order.
  static constexpr size_t kNoIndex = static_cast<size_t>(-1);

  ResourcePtr resource;
  // Among those of its kind.
  size_t index = kNoIndex;

  // "workloads[2]", or its description.
  std::string Place() const;
};

// What a source says, entry by entry: each checked as far as it can be alone, and as it will be
// served, which is a tenth of what it is as messages.
class ResourceList {
 public:
  // `ordered`: errors name the index of an entry.
  explicit ResourceList(RegistrySource source, bool ordered = true)
      : source_(source), ordered_(ordered) {}
  // InvalidArgument as Add.
  static absl::StatusOr<ResourceList> Create(RegistrySource source, const RegistryContent& content);

  // InvalidArgument names the entry, what is wrong with it, and the remedy.
  absl::Status Add(const istio::workload::Workload& workload);
  absl::Status Add(const istio::workload::Service& service);
  absl::Status Add(const istio::security::Authorization& policy);
  // One that Resource::stand_in is said of.
  absl::Status AddStandIn(const istio::security::Authorization& policy);

  // What was checked before.
  void Add(ResourcePtr resource) { entries_.push_back({std::move(resource)}); }
  void AddAll(const ResourceList& list);

  RegistrySource source() const { return source_; }
  const std::vector<ListedResource>& entries() const { return entries_; }

 private:
  template <typename Message>
  absl::Status AddOne(const Message& message, size_t* count);

  RegistrySource source_;
  bool ordered_;
  std::vector<ListedResource> entries_;
  size_t workloads_ = 0, services_ = 0, policies_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_LIST_H_
