#ifndef BYRNIE_PROXY_MESH_STATE_H_
#define BYRNIE_PROXY_MESH_STATE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/tls/signer.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_metrics.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {

// What the agent has said about the mesh, validated, as snapshots. Lives on the control loop. An
// update that cannot be used changes nothing: the last good state stays in force.
//
// The agent's counters begin anew with each agent process, so the snapshots carry numbers of this
// process; an update that says what is known already (a reconnect) makes no new snapshot and
// disturbs no tunnel.
class MeshState {
 public:
  // Runs for each new snapshot.
  using Publish = absl::AnyInvocable<void(MeshSnapshotPtr snapshot)>;
  // This pod's addresses.
  using ReadAddresses = absl::AnyInvocable<absl::StatusOr<absl::flat_hash_set<IpAddress>>()>;

  // `signer` outlives all TLS contexts made of identities.
  MeshState(EventLoop* loop, Signer* signer, ReadAddresses read_addresses, ProxyMetrics* metrics,
            Logger* logger, Publish publish);
  MeshState(const MeshState&) = delete;
  MeshState& operator=(const MeshState&) = delete;

  // InvalidArgument or Unauthenticated says why the identity is not used.
  absl::Status ApplyIdentity(const link::v1::IdentityUpdate& update);
  // InvalidArgument names the policy that is not understood.
  absl::Status ApplyPolicies(const link::v1::PolicyUpdate& update);
  // Resources that are not understood are left out, logged and counted.
  absl::Status ApplyAddresses(const link::v1::AddressUpdate& update);

  // The addresses of the pod's default gateways, as read from the kernel.
  void ApplyGateways(absl::flat_hash_set<IpAddress> gateways);

  // Never null.
  const MeshSnapshotPtr& snapshot() const { return snapshot_; }

 private:
  absl::Status TryIdentity(const link::v1::IdentityUpdate& update);
  absl::StatusOr<IdentitySnapshotPtr> ToIdentity(const link::v1::IdentityUpdate& update);
  // Publishes a copy of the present snapshot as `change` makes it.
  void Commit(absl::AnyInvocable<void(MeshSnapshot& next)> change);

  EventLoop* const loop_;  // Not owned.
  Signer* const signer_;   // Not owned.
  ReadAddresses read_addresses_;
  ProxyMetrics* const metrics_;  // Not owned.
  Logger* const logger_;         // Not owned.
  Publish publish_;
  RoutingTableBuilder routes_;
  uint64_t generation_ = 0;
  uint64_t policy_epoch_ = 0;
  // The updates in force, without their counters, to recognise repetitions.
  std::string identity_bytes_;
  std::string policy_bytes_;
  // Of those, what may concern this pod.
  std::string own_policy_bytes_;
  MeshSnapshotPtr snapshot_ = std::make_shared<const MeshSnapshot>();
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_MESH_STATE_H_
