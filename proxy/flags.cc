#include "proxy/flags.h"

#include <sched.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"

ABSL_FLAG(std::string, link_socket, "",
          "Unix socket of the cert agent; it need not exist yet, its directory must");
ABSL_FLAG(std::string, admin, "127.0.0.1:15000", "IP:PORT of the admin pages; must be loopback");
ABSL_FLAG(int32_t, outbound_port, 15001, "where the pod's own connections are redirected to");
ABSL_FLAG(int32_t, inbound_port, 15006, "where connections to the pod are redirected to");
ABSL_FLAG(int32_t, hbone_port, 15008, "where other pods' tunnels arrive");
ABSL_FLAG(int32_t, stats_port, 15020, "port of /metrics, on all addresses");
ABSL_FLAG(int32_t, status_port, 15021, "port of /healthz/ready, on all addresses");
ABSL_FLAG(int32_t, workers, 0,
          "threads that carry connections; 0: the CPUs this process may use, at most 2");
ABSL_FLAG(std::string, mtls_mode, "strict",
          "strict: refuse inbound plaintext; permissive: carry it where policies allow");
ABSL_FLAG(std::string, mtls_port_modes, "",
          "ports of the application with a mode of their own, for example "
          "8080=permissive,9090=strict");
ABSL_FLAG(std::string, probe_ports, "",
          "ports where plaintext health probes of the node are carried in strict mode too, for "
          "example 8080,8081");
ABSL_FLAG(std::string, probe_sources, "",
          "addresses or CIDRs that such probes come from; empty: the pod's default gateways");
ABSL_FLAG(std::string, proxy_protocol_ports, "",
          "ports whose application wants a PROXY protocol v2 header in front of each connection");
ABSL_FLAG(std::string, outbound_policy, "passthrough",
          "for addresses the control plane says are not in the mesh: passthrough or deny");
ABSL_FLAG(absl::Duration, resolve_timeout, absl::Seconds(2),
          "how long a connection waits to learn what its address is");
ABSL_FLAG(absl::Duration, connect_timeout, absl::Seconds(10),
          "for each TCP connection the proxy makes");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(30),
          "from SIGTERM until what is still open is reset");
ABSL_FLAG(std::string, identity_expiry, "drain",
          "tunnels whose certificate was replaced: drain (end when empty or when it expires), "
          "keep (end when empty) or strict (end at once)");
ABSL_FLAG(std::string, log_level, "info", "error, warning, info or debug");
ABSL_FLAG(std::string, log_format, "json", "json or text");
ABSL_FLAG(bool, access_log, true, "one line of JSON on stderr per finished or refused connection");

namespace byrnie {
namespace {

constexpr int kMaxDefaultWorkers = 2;
constexpr int kMaxWorkers = 64;

absl::StatusOr<uint16_t> ToPort(const char* flag, int32_t value) {
  if (value < 1 || value > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", value, ": not a port; give 1 to 65535"));
  }
  return static_cast<uint16_t>(value);
}

absl::StatusOr<absl::Duration> ToTimeout(const char* flag, absl::Duration value) {
  if (value < absl::Milliseconds(1) || value > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", absl::FormatDuration(value),
                                                   ": out of range; give 1ms to 24h"));
  }
  return value;
}

// Says which flag an error is about.
template <typename T>
absl::StatusOr<T> OfFlag(const char* flag, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", value.status().message()));
}

// One of two words.
absl::StatusOr<bool> ToChoice(const char* flag, const std::string& value, const char* when_true,
                              const char* when_false) {
  if (value == when_true) return true;
  if (value == when_false) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": not known; give ", when_true, " or ", when_false));
}

int AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More CPUs than the set holds are more than we use.
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return kMaxDefaultWorkers;
  return std::max(1, CPU_COUNT(&set));
}

absl::Status CheckPortsDiffer(const ProxyConfig& config) {
  const std::pair<const char*, uint16_t> ports[] = {
      {"admin", config.admin.port()},        {"outbound_port", config.outbound_port},
      {"inbound_port", config.inbound_port}, {"hbone_port", config.hbone_port},
      {"stats_port", config.stats_port},     {"status_port", config.status_port}};
  absl::flat_hash_map<uint16_t, const char*> seen;
  for (const auto& [flag, port] : ports) {
    const auto [it, inserted] = seen.emplace(port, flag);
    if (!inserted) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", it->second, " and --", flag, " both say port ", port, "; give each its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ProxyConfig> ConfigFromFlags() {
  ProxyConfig config;
  config.link_socket = absl::GetFlag(FLAGS_link_socket);
  if (config.link_socket.empty()) {
    return absl::InvalidArgumentError(
        "--link_socket is not given; give the path of the cert agent's socket");
  }
  const std::string admin = absl::GetFlag(FLAGS_admin);
  absl::StatusOr<SocketAddress> admin_address = SocketAddress::Parse(admin);
  if (!admin_address.ok() || !admin_address->ip().IsLoopback() || admin_address->port() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--admin=", admin, ": not a loopback IP:PORT; give for example 127.0.0.1:15000"));
  }
  config.admin = *admin_address;
  ASSIGN_OR_RETURN(config.outbound_port,
                   ToPort("outbound_port", absl::GetFlag(FLAGS_outbound_port)));
  ASSIGN_OR_RETURN(config.inbound_port, ToPort("inbound_port", absl::GetFlag(FLAGS_inbound_port)));
  ASSIGN_OR_RETURN(config.hbone_port, ToPort("hbone_port", absl::GetFlag(FLAGS_hbone_port)));
  ASSIGN_OR_RETURN(config.stats_port, ToPort("stats_port", absl::GetFlag(FLAGS_stats_port)));
  ASSIGN_OR_RETURN(config.status_port, ToPort("status_port", absl::GetFlag(FLAGS_status_port)));
  RETURN_IF_ERROR(CheckPortsDiffer(config));
  const int workers = absl::GetFlag(FLAGS_workers);
  if (workers < 0 || workers > kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers=", workers, ": out of range; give 0 to ", kMaxWorkers));
  }
  config.workers = workers != 0 ? workers : std::min(kMaxDefaultWorkers, AllowedCpus());
  const std::string mode = absl::GetFlag(FLAGS_mtls_mode);
  ASSIGN_OR_RETURN(config.inbound.strict, ToChoice("mtls_mode", mode, "strict", "permissive"));
  const std::string port_modes = absl::GetFlag(FLAGS_mtls_port_modes);
  ASSIGN_OR_RETURN(config.inbound.strict_at, OfFlag("mtls_port_modes", ParsePortModes(port_modes)));
  const std::string probe_ports = absl::GetFlag(FLAGS_probe_ports);
  ASSIGN_OR_RETURN(config.inbound.probe_ports, OfFlag("probe_ports", ParsePortSet(probe_ports)));
  const std::string probe_sources = absl::GetFlag(FLAGS_probe_sources);
  ASSIGN_OR_RETURN(config.inbound.probe_sources,
                   OfFlag("probe_sources", ParseCidrBlocks(probe_sources)));
  const std::string proxy_protocol_ports = absl::GetFlag(FLAGS_proxy_protocol_ports);
  ASSIGN_OR_RETURN(config.inbound.proxy_protocol_ports,
                   OfFlag("proxy_protocol_ports", ParsePortSet(proxy_protocol_ports)));
  const std::string outbound_policy = absl::GetFlag(FLAGS_outbound_policy);
  ASSIGN_OR_RETURN(const bool passthrough,
                   ToChoice("outbound_policy", outbound_policy, "passthrough", "deny"));
  config.outbound_policy = passthrough ? OutboundPolicy::kPassthrough : OutboundPolicy::kDeny;
  ASSIGN_OR_RETURN(config.resolve_timeout,
                   ToTimeout("resolve_timeout", absl::GetFlag(FLAGS_resolve_timeout)));
  ASSIGN_OR_RETURN(config.connect_timeout,
                   ToTimeout("connect_timeout", absl::GetFlag(FLAGS_connect_timeout)));
  ASSIGN_OR_RETURN(config.drain_timeout,
                   ToTimeout("drain_timeout", absl::GetFlag(FLAGS_drain_timeout)));
  const std::string expiry = absl::GetFlag(FLAGS_identity_expiry);
  if (expiry == "drain") {
    config.identity_expiry = IdentityExpiry::kDrain;
  } else if (expiry == "keep") {
    config.identity_expiry = IdentityExpiry::kKeep;
  } else if (expiry == "strict") {
    config.identity_expiry = IdentityExpiry::kStrict;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--identity_expiry=", expiry, ": not known; give drain, keep or strict"));
  }
  const absl::StatusOr<LogLevel> level = ParseLogLevel(absl::GetFlag(FLAGS_log_level));
  if (!level.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--log_level: ", level.status().message()));
  }
  config.log_level = *level;
  const std::string format = absl::GetFlag(FLAGS_log_format);
  ASSIGN_OR_RETURN(const bool json, ToChoice("log_format", format, "json", "text"));
  config.log_format = json ? Logger::Format::kJson : Logger::Format::kText;
  config.access_log = absl::GetFlag(FLAGS_access_log);
  config.shown_flags = {
      {"link_socket", config.link_socket},
      {"admin", admin},
      {"outbound_port", absl::StrCat(config.outbound_port)},
      {"inbound_port", absl::StrCat(config.inbound_port)},
      {"hbone_port", absl::StrCat(config.hbone_port)},
      {"stats_port", absl::StrCat(config.stats_port)},
      {"status_port", absl::StrCat(config.status_port)},
      {"workers", absl::StrCat(config.workers)},
      {"mtls_mode", mode},
      {"mtls_port_modes", port_modes},
      {"probe_ports", probe_ports},
      {"probe_sources", probe_sources},
      {"proxy_protocol_ports", proxy_protocol_ports},
      {"outbound_policy", outbound_policy},
      {"resolve_timeout", absl::FormatDuration(config.resolve_timeout)},
      {"connect_timeout", absl::FormatDuration(config.connect_timeout)},
      {"drain_timeout", absl::FormatDuration(config.drain_timeout)},
      {"identity_expiry", expiry},
      {"log_level", std::string(LogLevelName(config.log_level))},
      {"log_format", format},
      {"access_log", config.access_log ? "true" : "false"},
  };
  return config;
}

}  // namespace byrnie
