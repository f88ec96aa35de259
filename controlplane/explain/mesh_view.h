#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_MESH_VIEW_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_MESH_VIEW_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/net/socket_address.h"
#include "controlplane/agents/agent_questions.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/registry/snapshot.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// A certificate, as the log of issuances has it.
struct IssuedCertificate {
  std::string serial;
  absl::Time not_after;
};

// All that the control plane knows, at one moment. What it points to outlives it.
struct MeshFacts {
  const RegistrySnapshot* registry;
  const TrustBundleSet* bundles;
  uint64_t bundle_version = 0;
  // The control plane's own; it knows nothing of the agents of others.
  std::string trust_domain;
  // Those that went away, too; of this control plane alone.
  std::vector<AgentTable::Agent> agents;
  // Others that share the store: an agent that is not connected here may be connected there.
  std::vector<std::string> other_control_planes;
  // The certificate of a SPIFFE ID that was issued last, whichever control plane did, as the log of
  // issuances has it; absent: none of late. Asked for where `agents` do not say; an error: the log
  // cannot be read now. Null: there is no log.
  std::function<absl::StatusOr<absl::optional<IssuedCertificate>>(const SpiffeId&)> newest_issued;
  // What agents that were asked whether they are there have answered, by the address of their
  // connection. Who is not in it could not be asked.
  AgentQuestions::Answers answers;
  // How long they were waited for.
  absl::Duration patience;
  // Serials of certificates that are revoked.
  std::set<std::string> revoked;
  absl::Time now;
  // Since the control plane was started: agents come back one after the other.
  absl::Duration running = absl::InfiniteDuration();
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
  // Whether the record of a workload or service of this key cannot be read, so that something
  // stands in for it.
  bool IsUnreadable(absl::string_view key) const;
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
