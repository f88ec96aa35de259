#ifndef BYRNIE_PROXY_WORKLOAD_H_
#define BYRNIE_PROXY_WORKLOAD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Where a workload runs, as far as balancing looks at it.
struct Placement {
  // Empty: the only one.
  std::string network;
  std::string cluster;
  // Empty: not known.
  std::string node;
  std::string region;
  std::string zone;
  std::string subzone;

  friend bool operator==(const Placement& a, const Placement& b) {
    return a.network == b.network && a.cluster == b.cluster && a.node == b.node &&
           a.region == b.region && a.zone == b.zone && a.subzone == b.subzone;
  }
  friend bool operator!=(const Placement& a, const Placement& b) { return !(a == b); }
};

// One instance of an application. Immutable once published.
struct Workload {
  enum class Tunnel { kNone, kHbone, kLegacyMtls };
  // Port of the service to port of the workload.
  using PortMap = std::map<uint16_t, uint16_t>;

  enum class Maker : uint8_t { kPod, kDeployment, kJob, kCronJob };

  std::string uid;
  std::string name;
  // Of what it is an instance, for example its Deployment; its own name where nobody says.
  std::string workload_name;
  std::string ns;
  // What made it, and what it is called together with its like: for telemetry. Empty: not known.
  Maker maker = Maker::kPod;
  std::string maker_name;
  std::string canonical_name;
  std::string canonical_revision;
  // What its certificate must say; none only for workloads outside the mesh (kNone).
  absl::optional<SpiffeId> identity;
  std::vector<IpAddress> addresses;
  Tunnel tunnel = Tunnel::kNone;
  // The application wants a PROXY protocol header in front of each connection, on this port of its
  // or, when 0, on the port asked for.
  bool proxy_protocol = false;
  uint16_t proxy_protocol_port = 0;
  uint32_t capacity = 1;  // At least 1.
  bool healthy = true;
  Placement placement;
  // Key of a service to the ports of it that this workload serves.
  std::map<std::string, PortMap> services;
  // "namespace/name" of the policies that select it by labels; see WorkloadSelector.
  std::vector<std::string> authorization_policies;
};

// As OpenTelemetry names them, in k8s.KIND.name.
inline const char* NameOf(Workload::Maker maker) {
  switch (maker) {
    case Workload::Maker::kPod:
      return "pod";
    case Workload::Maker::kDeployment:
      return "deployment";
    case Workload::Maker::kJob:
      return "job";
    case Workload::Maker::kCronJob:
      return "cronjob";
  }
  return "pod";
}

// Which endpoints of a service are preferred: istio.workload.LoadBalancing.
struct LoadBalancing {
  enum class Scope { kRegion, kZone, kSubzone, kNode, kCluster, kNetwork };
  enum class Mode {
    kAny,          // All alike; `preference` is empty.
    kStrict,       // Only those in all scopes.
    kFailover,     // Those in most scopes, counted from the first; at last any.
    kPassthrough,  // The service does not balance: its addresses are whoever's they are.
  };

  Mode mode = Mode::kAny;
  // The most important first.
  std::vector<Scope> preference;
  // Unhealthy endpoints are like others.
  bool allow_unhealthy = false;
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
  LoadBalancing balancing;

  // "namespace/hostname".
  std::string Key() const { return ns + "/" + hostname; }
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_WORKLOAD_H_
