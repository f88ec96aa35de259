#ifndef BYRNIE_PROXY_ROUTING_TABLE_H_
#define BYRNIE_PROXY_ROUTING_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"

namespace byrnie::link::v1 {
class AddressUpdate;
}  // namespace byrnie::link::v1

namespace byrnie {

// Where HBONE arrives.
inline constexpr uint16_t kHbonePort = 15008;

// One instance of an application. Immutable once published.
struct Workload {
  enum class Tunnel { kNone, kHbone, kLegacyMtls };
  // Port of the service to port of the workload.
  using PortMap = std::map<uint16_t, uint16_t>;

  std::string uid;
  std::string name;
  std::string ns;
  // What its certificate must say; none only for workloads outside the mesh (kNone).
  absl::optional<SpiffeId> identity;
  std::vector<IpAddress> addresses;
  Tunnel tunnel = Tunnel::kNone;
  uint32_t capacity = 1;  // At least 1.
  bool healthy = true;
  // Key of a service to the ports of it that this workload serves.
  std::map<std::string, PortMap> services;
  // "namespace/name" of the policies that select it by labels; see WorkloadSelector.
  std::vector<std::string> authorization_policies;
};

// Stable addresses in front of workloads. Immutable once published.
struct Service {
  std::string ns;
  std::string hostname;
  std::vector<IpAddress> vips;
  // Port to the workloads' default port; a workload's own PortMap decides.
  std::map<uint16_t, uint16_t> ports;
  // Further identities its endpoints may prove.
  std::vector<SpiffeId> subject_alt_names;

  // "namespace/hostname".
  std::string Key() const { return ns + "/" + hostname; }
};

// Where a connection goes.
struct RouteDecision {
  enum class Kind {
    kUnknown,     // The table does not know the address: ask the agent, or apply --outbound_policy.
    kNoEndpoint,  // Known, but nothing may be dialled: refuse with `reason`.
    kPlaintext,   // A known workload outside the mesh: plain TCP to `endpoint`.
    kHbone,       // CONNECT `endpoint` through a tunnel to `tunnel` whose peer proves one of
                  // `identities`.
  };

  Kind kind = Kind::kUnknown;
  // The workload's address and port. For kUnknown the destination itself.
  SocketAddress endpoint;
  // The workload's address and kHbonePort; only for kHbone.
  SocketAddress tunnel;
  // Whom the tunnel's certificate may name, sorted, without duplicates; never empty for kHbone,
  // empty otherwise.
  std::vector<SpiffeId> identities;
  // "namespace/hostname" when the destination was a service, else empty.
  std::string service;
  // Uid of the workload chosen; empty without one.
  std::string workload;
  // For kNoEndpoint, of the set below; else empty.
  absl::string_view reason;
};

// Why a known destination has nowhere to go.
namespace route_reason {
// The service does not have this port.
inline constexpr absl::string_view kUnknownServicePort = "unknown-service-port";
// No workload serves this port of the service.
inline constexpr absl::string_view kNoEndpoint = "no-endpoint";
// Workloads do, but none is healthy.
inline constexpr absl::string_view kNoHealthyEndpoint = "no-healthy-endpoint";
// The workload takes only mutual TLS on its own port, which this release does not speak; never sent
// as plaintext.
inline constexpr absl::string_view kUnsupportedTunnel = "unsupported-tunnel";
}  // namespace route_reason

// Everything known about addresses at one moment. Immutable, thread-safe; made by
// RoutingTableBuilder. What it points to lives as long as it.
class RoutingTable {
 public:
  // Knows nothing.
  RoutingTable() = default;
  RoutingTable(const RoutingTable&) = delete;
  RoutingTable& operator=(const RoutingTable&) = delete;

  // Null when the address is none's. One hash look-up each.
  const Workload* FindWorkload(const IpAddress& ip) const;
  const Service* FindService(const IpAddress& ip) const;

  // Chooses where a connection to `destination` goes. A service's address is looked for before a
  // workload's. Of a service, the healthy workloads that serve the port are drawn from by capacity;
  // a workload addressed by its own address is used whether healthy or not. Of a workload with
  // several addresses the first of the destination's family is dialled, else the first.
  RouteDecision Resolve(const SocketAddress& destination, absl::BitGenRef random) const;

  // All entries by key, for /config_dump.
  const std::map<std::string, std::shared_ptr<const Workload>>& workloads() const {
    return workloads_;
  }
  const std::map<std::string, std::shared_ptr<const Service>>& services() const {
    return services_;
  }

 private:
  friend class RoutingTableBuilder;

  // One workload that serves a port of a service.
  struct Endpoint {
    const Workload* workload;
    uint16_t target_port;
    uint64_t weight_end;  // Capacities of this and all before it; an unhealthy one adds none.
  };
  // By port of the service; never an empty vector.
  using EndpointsByPort = absl::flat_hash_map<uint16_t, std::vector<Endpoint>>;

  // The first address of the wanted family that is still this workload's, else the first of the
  // other; null: none is.
  const IpAddress* AddressOf(const Workload& workload, bool prefer_v4) const;
  RouteDecision ToWorkload(const Workload& workload, const SocketAddress& endpoint,
                           const Service* service) const;

  std::map<std::string, std::shared_ptr<const Workload>> workloads_;
  std::map<std::string, std::shared_ptr<const Service>> services_;
  absl::flat_hash_map<IpAddress, const Workload*> workload_by_ip_;
  absl::flat_hash_map<IpAddress, const Service*> service_by_ip_;
  absl::flat_hash_map<const Service*, EndpointsByPort> routes_;
};

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

  // The state as an immutable table that shares the entries of earlier ones. Time and memory grow
  // with the number of entries, not with their size; call it once per batch of updates.
  std::shared_ptr<const RoutingTable> Build() const;

 private:
  template <typename T>
  struct Entry {
    std::shared_ptr<const T> value;
    uint64_t sequence = 0;  // Of the last upsert.
  };

  uint64_t sequence_ = 0;
  std::map<std::string, Entry<Workload>> workloads_;
  std::map<std::string, Entry<Service>> services_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ROUTING_TABLE_H_
