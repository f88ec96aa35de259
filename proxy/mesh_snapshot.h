#ifndef BYRNIE_PROXY_MESH_SNAPSHOT_H_
#define BYRNIE_PROXY_MESH_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/identity/identity_snapshot.h"
#include "common/net/socket_address.h"
#include "common/policy/authorizer.h"
#include "common/policy/connection_facts.h"
#include "common/tls/tls_context.h"
#include "proxy/routing_table.h"

namespace byrnie {

// Protocols of ALPN inside mesh TLS: HBONE is HTTP/2 (RFC 9113 section 3.2); direct mTLS carries
// one application connection and nothing else, as sidecars of Istio do under this name.
inline constexpr char kHboneAlpn[] = "h2";
inline constexpr char kDirectAlpn[] = "istio";

// An identity and the TLS configurations made of it, once, on the control thread.
struct IdentityInUse {
  IdentitySnapshotPtr identity;
  // For tunnels.
  std::shared_ptr<const TlsContext> client;
  std::shared_ptr<const TlsContext> server;
  // For direct mTLS.
  std::shared_ptr<const TlsContext> direct_client;
  std::shared_ptr<const TlsContext> direct_server;
};

// All that the data path knows of the mesh at one moment. Immutable; the parts are shared from one
// snapshot to the next.
struct MeshSnapshot {
  // Null until the agent has sent one.
  std::shared_ptr<const IdentityInUse> identity;
  // Null until the agent has sent them: inbound is denied.
  std::shared_ptr<const PolicySet> policies;
  // Never null.
  std::shared_ptr<const RoutingTable> routes = std::make_shared<const RoutingTable>();
  // Addresses of this pod, loopback included.
  std::shared_ptr<const absl::flat_hash_set<IpAddress>> own_addresses =
      std::make_shared<const absl::flat_hash_set<IpAddress>>();
  // Of this pod's default routes: where the node's health probes come from.
  std::shared_ptr<const absl::flat_hash_set<IpAddress>> gateways =
      std::make_shared<const absl::flat_hash_set<IpAddress>>();
  // Grows with each change of the policies that may concern this pod: those of its namespace and of
  // the whole mesh. Part of the tunnel pool's key.
  uint64_t own_policy_epoch = 0;
  // Grows when an inbound connection might be decided differently: other policies, or another
  // selection of them.
  uint64_t policy_version = 0;
};

using MeshSnapshotPtr = std::shared_ptr<const MeshSnapshot>;

// Decides an inbound connection to `facts.destination`, an address of this pod. Pure. Denies also
// while it is not known which policies select the workload and there are any that could.
Decision AuthorizeInbound(const MeshSnapshot& mesh, const ConnectionFacts& facts);

// What is missing at the wall-clock time `now` before inbound connections can be served, in words
// for people; empty: nothing. Pure.
std::vector<std::string> Missing(const MeshSnapshot& mesh, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_MESH_SNAPSHOT_H_
