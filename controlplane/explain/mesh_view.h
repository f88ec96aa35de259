#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_MESH_VIEW_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_MESH_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/net/socket_address.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/registry/snapshot.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// All that the control plane knows, at one moment. What it points to outlives it.
struct MeshFacts {
  const RegistrySnapshot* registry;
  const TrustBundleSet* bundles;
  uint64_t bundle_version = 0;
  // The control plane's own; it knows nothing of the agents of others.
  std::string trust_domain;
  // Those that went away, too.
  std::vector<AgentTable::Agent> agents;
  absl::Time now;
};

// Questions about those facts. Pure; lives no longer than they do.
class MeshView {
 public:
  using Workload = istio::workload::Workload;
  using Service = istio::workload::Service;

  explicit MeshView(const MeshFacts* facts) : facts_(*facts) {}

  const MeshFacts& facts() const { return facts_; }

  // The workload of a uid, an address, "namespace/name" or a SPIFFE ID; of several the first by
  // uid.
  absl::optional<Workload> FindWorkload(absl::string_view name) const;
  // The service of an address, "namespace/hostname", "namespace/name" or a hostname.
  absl::optional<Service> FindService(absl::string_view name) const;
  // The workloads behind a service, by uid.
  std::vector<Workload> EndpointsOf(const Service& service) const;

  // Agents that prove an identity: connected ones first, then the one seen last.
  std::vector<AgentTable::Agent> AgentsOf(const SpiffeId& id) const;
  // The connected agent at an address, whatever it proves.
  absl::optional<AgentTable::Agent> AgentAt(const IpAddress& address) const;

  // Where an agent connects from, without the port.
  static absl::optional<IpAddress> HostOf(const AgentTable::Agent& agent);
  // What a workload is to prove; absent when its fields make no SPIFFE ID.
  static absl::optional<SpiffeId> IdentityOf(const Workload& workload);
  static std::vector<IpAddress> AddressesOf(const Workload& workload);
  // "demo/client".
  static std::string NameOf(const Workload& workload);

 private:
  const MeshFacts& facts_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_MESH_VIEW_H_
