#ifndef BYRNIE_DEPLOY_REDIRECT_REDIRECT_OPTIONS_H_
#define BYRNIE_DEPLOY_REDIRECT_REDIRECT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "deploy/redirect/number_ranges.h"

namespace byrnie {

// What of a pod's TCP traffic goes through its proxy, as the flags of the same names say it. IPv4
// and IPv6 alike. Everything goes through it but what is excluded; where there is an include list,
// only what that holds, and what is excluded wins.
struct RedirectOptions {
  // "redirect" or "tproxy": how inbound connections reach the proxy. With tproxy the application
  // sees its clients' addresses.
  std::string mode = "redirect";
  // Ports of the proxy: what the pod's applications open goes to the first, what others open
  // towards the pod to the second.
  uint16_t outbound_port = 15001;
  uint16_t inbound_port = 15006;
  // The proxy and the agent run as this user; what it sends is never redirected. An application
  // with the same user would bypass the mesh.
  uint32_t proxy_uid = 1337;
  // Ports and ranges of ports: "80", "8000-8100". An include list may be "*" alone: everything.
  std::vector<std::string> include_inbound_ports;
  std::vector<std::string> exclude_inbound_ports;
  std::vector<std::string> include_outbound_ports;
  std::vector<std::string> exclude_outbound_ports;
  // Destinations: "10.0.0.0/8", "fd00::/8" or a single address; "0.0.0.0/0" is all of IPv4.
  std::vector<std::string> include_outbound_cidrs;
  std::vector<std::string> exclude_outbound_cidrs;
  // Users and groups whose processes connect without the proxy: "1000", "1000-1999".
  std::vector<std::string> exclude_uids;
  std::vector<std::string> exclude_gids;
  // Names of interfaces of the pod, both directions.
  std::vector<std::string> include_interfaces;
  std::vector<std::string> exclude_interfaces;
};

// The proxy's own ports that others connect to: tunnels, metrics, readiness.
inline constexpr uint16_t kTunnelPort = 15008;
inline constexpr uint16_t kMetricsPort = 15020;
inline constexpr uint16_t kReadinessPort = 15021;
inline constexpr uint16_t kProxyPorts[] = {kTunnelPort, kMetricsPort, kReadinessPort};
// Where nobody listens: while the rules are there, and not closed, they lead the proxy's own
// connections from it to kReadinessPort, so that it knows that they are.
inline constexpr uint16_t kCheckPort = 15022;
// Those of the sidecar that are for this pod alone: the admin pages of the proxy and of the agent.
inline constexpr uint16_t kAdminPorts[] = {15000, 15010};

// The options, checked, in the spelling nft lists.
struct RedirectMatches {
  bool tproxy = false;
  uint16_t outbound_port = 0;
  uint16_t inbound_port = 0;
  uint32_t proxy_uid = 0;
  NumberRanges open_ports;  // exclude_inbound_ports and kProxyPorts.
  NumberRanges exclude_inbound_ports;
  NumberRanges include_inbound_ports;
  NumberRanges exclude_outbound_ports;
  std::vector<std::string> exclude_users;     // "meta skuid 1000"
  std::vector<std::string> exclude_cidrs;     // NetworkSet::Matches
  std::vector<std::string> include_outbound;  // Of ports and of destinations.
  std::vector<std::string> include_interfaces;
  std::vector<std::string> exclude_interfaces;
  // For people: what is harmless and hardly meant.
  std::vector<std::string> warnings;
};

// InvalidArgument names the flag and what to write instead: a port, user, network or interface that
// is none, two options that contradict each other, a port that would cut off the proxy, an exclude
// list that lets everything out, an include list that leads nothing to the proxy.
absl::StatusOr<RedirectMatches> CheckOptions(const RedirectOptions& options);

// The same of interfaces, where it is known which are up, loopback left out; empty: it is not.
absl::Status CheckInterfacesThatAreUp(const RedirectMatches& matches,
                                      const std::vector<std::string>& up);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_REDIRECT_OPTIONS_H_
