#ifndef BYRNIE_CONTROLPLANE_FLOWS_WORKLOAD_INDEX_H_
#define BYRNIE_CONTROLPLANE_FLOWS_WORKLOAD_INDEX_H_

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// Whose addresses are whose, of one snapshot of the registry, in whatever network. For many
// questions about one snapshot, which outlives it; lives on one thread.
class WorkloadIndex {
 public:
  struct Workload {
    std::string uid;
    std::string ns;
    // "namespace/name".
    std::string name;
    absl::optional<SpiffeId> identity;
    std::vector<IpAddress> addresses;
    // As WorkloadSelector::policies.
    std::vector<std::string> policies;
  };

  explicit WorkloadIndex(const RegistrySnapshot* registry);
  WorkloadIndex(const WorkloadIndex&) = delete;
  WorkloadIndex& operator=(const WorkloadIndex&) = delete;

  // Null when no workload has the address. Lives as long as the index.
  const Workload* Find(const IpAddress& address) const;
  // Of all workloads that prove `id`; null when none of them has any. Lives as long as the index.
  const std::vector<IpAddress>* AddressesOf(const SpiffeId& id) const;
  // All of a namespace, by uid.
  std::vector<Workload> InNamespace(absl::string_view ns) const;

 private:
  const RegistrySnapshot& registry_;
  absl::flat_hash_map<absl::string_view, const Resource*> by_address_;
  // Those that were asked for.
  mutable std::map<IpAddress, absl::optional<Workload>> found_;
  // By SPIFFE ID; absent: nobody has asked.
  mutable absl::optional<absl::flat_hash_map<std::string, std::vector<IpAddress>>> of_identity_;
};

// Whether a workload of the registry has `address` in the network without a name and is not to
// prove `id`. For one question. Pure.
bool BelongsToAnother(const RegistrySnapshot& registry, const IpAddress& address,
                      const SpiffeId& id);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_WORKLOAD_INDEX_H_
