#ifndef BYRNIE_PROXY_ROUTING_TABLE_H_
#define BYRNIE_PROXY_ROUTING_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/strings/string_view.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "proxy/endpoint_set.h"
#include "proxy/sharded_map.h"
#include "proxy/workload.h"

namespace byrnie {

// Where HBONE arrives.
inline constexpr uint16_t kHbonePort = 15008;

// Where a connection goes.
struct RouteDecision {
  enum class Kind {
    kUnknown,     // The table does not know the address: ask the agent, or apply --outbound_policy.
    kNoEndpoint,  // Known, but nothing may be dialled: refuse with `reason`.
    kPlaintext,   // A known workload outside the mesh: plain TCP to `endpoint`.
    kHbone,       // CONNECT `endpoint` through a tunnel to `tunnel` whose peer proves one of
                  // `identities`.
    kDirectMtls,  // Mutual TLS straight to `endpoint`, whose peer proves one of `identities`.
  };

  Kind kind = Kind::kUnknown;
  // The workload's address and port. For kUnknown the destination itself.
  SocketAddress endpoint;
  // The workload's address and kHbonePort; only for kHbone.
  SocketAddress tunnel;
  // Whom the peer's certificate may name, sorted, without duplicates; never empty for kHbone and
  // kDirectMtls, empty otherwise.
  std::vector<SpiffeId> identities;
  // "namespace/hostname" when the destination was a service, else empty.
  std::string service;
  // Uid of the workload chosen; empty without one.
  std::string workload;
  // For kNoEndpoint, of the set below; else empty.
  absl::string_view reason;
  // For kNoEndpoint, for people; may be empty.
  std::string detail;
};

// Why a known destination has nowhere to go.
namespace route_reason {
// The service does not have this port.
inline constexpr absl::string_view kUnknownServicePort = "unknown-service-port";
// No workload serves this port of the service, or none in the scopes it is strictly kept within.
inline constexpr absl::string_view kNoEndpoint = "no-endpoint";
// Workloads do, but none is healthy.
inline constexpr absl::string_view kNoHealthyEndpoint = "no-healthy-endpoint";
}  // namespace route_reason

// What whoever asks knows of an endpoint.
enum class Standing {
  kUsable,
  kEjected,  // Drawn only when nobody usable is left.
  kTried,    // Never drawn.
};

// A service with the endpoints of its ports. Immutable once published.
struct ServiceRoutes {
  std::shared_ptr<const Service> service;
  // Of the service.
  std::string key;
  // By port of the service; a port nobody serves is not there.
  absl::flat_hash_map<uint16_t, EndpointSet> ports;
};

// Everything known about addresses at one moment. Immutable, thread-safe; made by
// RoutingTableBuilder. What it points to lives as long as it.
class RoutingTable {
 public:
  // Judges an endpoint of a service; the same during one decision.
  using Judge = absl::FunctionRef<Standing(const SocketAddress& endpoint)>;

  // Knows nothing.
  RoutingTable() = default;
  RoutingTable(const RoutingTable&) = delete;
  RoutingTable& operator=(const RoutingTable&) = delete;

  // Null when the address is none's. One hash look-up each.
  const Workload* FindWorkload(const IpAddress& ip) const;
  const Service* FindService(const IpAddress& ip) const;

  // Chooses where a connection to `destination` goes. A service's address is looked for before a
  // workload's. Of a service, an endpoint is drawn as its LoadBalancing says, see EndpointSet,
  // among those that `judge` finds usable, else among the ejected; a workload addressed by its own
  // address is used whatever is thought of it. Of a workload with several addresses the first of
  // the destination's family is dialled, else the first.
  RouteDecision Resolve(const SocketAddress& destination, absl::BitGenRef random,
                        Judge judge) const;
  // The same, where nothing is known of the endpoints.
  RouteDecision Resolve(const SocketAddress& destination, absl::BitGenRef random) const;

  size_t workload_count() const { return workloads_.size(); }
  size_t service_count() const { return services_.size(); }
  // All entries by key, for /config_dump: made anew by each call.
  std::map<std::string, std::shared_ptr<const Workload>> workloads() const;
  std::map<std::string, std::shared_ptr<const Service>> services() const;

 private:
  friend class RoutingTableBuilder;

  RouteDecision ToWorkload(const Workload& workload, const SocketAddress& endpoint,
                           const ServiceRoutes* service) const;

  ShardedMap<std::string, std::shared_ptr<const Workload>> workloads_;  // By uid.
  ShardedMap<std::string, std::shared_ptr<const Service>> services_;    // By key.
  ShardedMap<IpAddress, std::shared_ptr<const Workload>> workload_by_ip_;
  ShardedMap<IpAddress, std::shared_ptr<const ServiceRoutes>> service_by_ip_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ROUTING_TABLE_H_
