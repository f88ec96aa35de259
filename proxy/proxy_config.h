#ifndef BYRNIE_PROXY_PROXY_CONFIG_H_
#define BYRNIE_PROXY_PROXY_CONFIG_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/net/socket_address.h"
#include "common/probe/app_probes.h"
#include "common/telemetry/log.h"
#include "proxy/identity_expiry.h"
#include "proxy/inbound_modes.h"

namespace byrnie {

// What becomes of connections to addresses that the control plane says are not in the mesh.
enum class OutboundPolicy { kPassthrough, kDeny };

// How the kernel's rules bring connections to the pod here: with their destination translated, or
// as they are (IP_TRANSPARENT), and then the application sees its clients' addresses.
enum class InboundInterception { kRedirect, kTproxy };

// What of a connection is written to the access log.
enum class AccessLog { kOff, kClose, kOpenClose };

// Everything the flags say, checked. A value.
struct ProxyConfig {
  std::string link_socket;
  SocketAddress admin;
  uint16_t outbound_port = 15001;
  uint16_t inbound_port = 15006;
  uint16_t hbone_port = 15008;
  uint16_t stats_port = 15020;
  uint16_t status_port = 15021;
  // Nobody's: from there the redirect's rules alone lead the proxy to status_port. 0: they are not
  // asked for.
  uint16_t redirect_check_port = 0;
  // At least 1.
  int workers = 1;
  InboundModes inbound;
  // Health probes of the application that the proxy makes for the kubelet.
  std::vector<AppProbe> app_probes;
  InboundInterception inbound_interception = InboundInterception::kRedirect;
  OutboundPolicy outbound_policy = OutboundPolicy::kPassthrough;
  // Connections to addresses nobody could say anything about go out as they are.
  bool passthrough_on_lookup_failure = false;
  // Endpoints of a service that one connection may try. At least 1.
  int connect_attempts = 3;
  // How long one of them may leave the connection, the handshake or a PING unanswered before
  // another is tried.
  absl::Duration endpoint_patience = absl::Seconds(3);
  absl::Duration resolve_timeout = absl::Seconds(2);
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration handshake_timeout = absl::Seconds(5);
  // Of a connection that has to prove itself, where others need the room; else it has the
  // handshake's time.
  absl::Duration first_byte_timeout = absl::Seconds(1);
  // Handshakes of inbound tunnels under way at once, of all workers. At least 1.
  int max_handshakes = 1024;
  // Tunnels of each direction, of all workers; of one peer inbound, and its connections through
  // them. At least 1.
  int max_tunnels = 8192;
  int max_tunnels_per_peer = 2048;
  int max_streams_per_peer = 20000;
  absl::Duration drain_timeout = absl::Seconds(30);
  absl::Duration drain_hold;
  absl::Duration drain_quiet = absl::Milliseconds(250);
  // Infinite: off.
  absl::Duration idle_timeout = absl::InfiniteDuration();
  absl::Duration half_close_timeout = absl::Seconds(60);
  // Infinite: off.
  absl::Duration max_connection_age = absl::InfiniteDuration();
  // 0: no limit.
  uint64_t max_connections = 0;
  // 0: a share of the memory limit.
  uint64_t max_buffered_bytes = 0;
  // 0: the container's, if it has one.
  uint64_t memory_limit = 0;
  IdentityExpiry identity_expiry = IdentityExpiry::kDrain;
  LogLevel log_level = LogLevel::kInfo;
  Logger::Format log_format = Logger::Format::kText;
  AccessLog access_log = AccessLog::kClose;
  // At most, on /metrics.
  int metrics_series = 2000;
  // Name and value of each flag, for /config_dump.
  std::vector<std::pair<std::string, std::string>> shown_flags;

  // From which connections are made; the default is Linux's.
  PortRange local_ports{32768, 60999};

  // True for the ports of this proxy and of the agent beside it: no connection of the pod itself to
  // them is relayed.
  bool IsSidecarPort(uint16_t port) const {
    return IsPrivatePort(port) || port == stats_port || port == status_port;
  }
  // Of those, the ones that nothing is ever relayed to: metrics and readiness are for everybody,
  // also through a tunnel.
  bool IsPrivatePort(uint16_t port) const {
    constexpr uint16_t kAgentAdminPort = 15010;
    // The redirect's rules lead what this process opens to it to the readiness page, whether or not
    // the proxy asks them whether they are there.
    constexpr uint16_t kRedirectCheckPort = 15022;
    return port == admin.port() || port == outbound_port || port == inbound_port ||
           port == hbone_port || port == kAgentAdminPort || port == kRedirectCheckPort ||
           (redirect_check_port != 0 && port == redirect_check_port);
  }
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROXY_CONFIG_H_
