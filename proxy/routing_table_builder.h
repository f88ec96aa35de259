#ifndef BYRNIE_PROXY_ROUTING_TABLE_BUILDER_H_
#define BYRNIE_PROXY_ROUTING_TABLE_BUILDER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "proxy/routing_table.h"

namespace byrnie::link::v1 {
class AddressUpdate;
}  // namespace byrnie::link::v1

namespace byrnie {

// Applies the agent's updates and makes snapshots. Lives on one thread, the control thread.
//
// An address claimed by two workloads (or services) belongs to the one whose upsert came last; when
// that one goes, to the latest of the others. Workloads and services may arrive in any order: a
// service finds its workloads by their `services`.
class RoutingTableBuilder {
 public:
  RoutingTableBuilder() = default;
  RoutingTableBuilder(const RoutingTableBuilder&) = delete;
  RoutingTableBuilder& operator=(const RoutingTableBuilder&) = delete;

  // Applies one update: first replace_all, then removals, then upserts in order. A resource that is
  // not understood (InvalidArgument names its key and what is wrong) is left out alone, the last
  // good one of its key stays, also over replace_all; everything else is applied. Returns one
  // status per resource left out: count and log them.
  std::vector<absl::Status> Apply(const link::v1::AddressUpdate& update);

  // This pod's addresses: where the workload is that has one of them, there is this proxy.
  void SetOwnAddresses(const absl::flat_hash_set<IpAddress>& addresses);

  // The state as an immutable table. The time grows with what was changed since the last one, and
  // with the endpoints of the services concerned, not with all entries; call it once per batch of
  // updates.
  std::shared_ptr<const RoutingTable> Build();

 private:
  // Who says that an address is theirs, the latest last.
  template <typename T>
  using Claims = absl::flat_hash_map<IpAddress, absl::InlinedVector<std::shared_ptr<const T>, 1>>;

  void DropAllBut(const link::v1::AddressUpdate& update);
  void PutWorkload(std::shared_ptr<const Workload> workload);
  void RemoveWorkload(const std::string& uid);
  void PutService(std::shared_ptr<const Service> service);
  void RemoveService(const std::string& key);
  // Makes the latest claim on `ip` the one that counts.
  void SettleOwner(const IpAddress& ip);
  void MarkServicesOf(const Workload& workload);
  void FindOwnPlacement();
  std::shared_ptr<const ServiceRoutes> MakeRoutes(const std::shared_ptr<const Service>& service,
                                                  const std::string& key) const;

  // As in the table.
  ShardedMap<std::string, std::shared_ptr<const Workload>> workloads_;
  ShardedMap<std::string, std::shared_ptr<const Service>> services_;
  ShardedMap<IpAddress, std::shared_ptr<const Workload>> workload_by_ip_;
  ShardedMap<IpAddress, std::shared_ptr<const ServiceRoutes>> service_by_ip_;

  Claims<Workload> workload_claims_;
  Claims<Service> service_claims_;
  // Key of a service to the workloads that serve it, by uid: so a re-sent workload does not change
  // which ticket draws whom. The service need not be known.
  absl::flat_hash_map<std::string, std::map<std::string, std::shared_ptr<const Workload>>> members_;
  // Keys of services whose routes are to be made anew; may name services that are not known.
  absl::flat_hash_set<std::string> changed_;
  std::vector<IpAddress> own_addresses_;  // Sorted.
  absl::optional<Placement> own_placement_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ROUTING_TABLE_BUILDER_H_
