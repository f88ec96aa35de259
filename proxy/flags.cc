#include "proxy/flags.h"

#include <sched.h>
#include <stdio.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/cpu_quota.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/base/system_file.h"
#include "common/probe/app_probes.h"

ABSL_FLAG(std::string, link_socket, "",
          "Unix socket of the cert agent; it need not exist yet, its directory must");
ABSL_FLAG(std::string, admin, "127.0.0.1:15000", "IP:PORT of the admin pages; must be loopback");
ABSL_FLAG(int32_t, outbound_port, 15001, "where the pod's own connections are redirected to");
ABSL_FLAG(int32_t, inbound_port, 15006, "where connections to the pod are redirected to");
ABSL_FLAG(int32_t, hbone_port, 15008, "where other pods' tunnels arrive");
ABSL_FLAG(int32_t, stats_port, 15020, "port of /metrics, on all addresses");
ABSL_FLAG(int32_t, status_port, 15021, "port of /healthz/ready, on all addresses");
ABSL_FLAG(int32_t, redirect_check_port, 0,
          "port that nobody listens on, from which byrnie-redirect's rules lead this user to the "
          "readiness page, 15022: while they do not, the pod is not ready; 0: that is not looked "
          "at");
ABSL_FLAG(
    int32_t, workers, 0,
    "threads that carry connections; 0: the CPUs this process may use, by its affinity and its "
    "container's quota rounded up, at most 2");
ABSL_FLAG(
    std::string, inbound_interception, "redirect",
    "how connections to the pod are brought here, as byrnie-redirect's --mode says: redirect, "
    "or tproxy, with which applications see their clients' addresses and which needs the "
    "capability NET_ADMIN");
ABSL_FLAG(std::string, mtls_mode, "strict",
          "strict: refuse inbound plaintext; permissive: carry it where policies allow");
ABSL_FLAG(std::string, mtls_port_modes, "",
          "ports of the application with a mode of their own, for example "
          "8080=permissive,9090=strict");
ABSL_FLAG(std::string, probe_ports, "",
          "ports where plaintext health probes of the node are carried in strict mode too, for "
          "example 8080,8081");
ABSL_FLAG(std::string, probe_sources, "",
          "addresses or CIDRs that such probes come from, and gateways for the pod's default "
          "gateways; empty: gateways");
ABSL_FLAG(std::string, app_probes, "",
          "health probes of the application that are made for the kubelet, when it asks for "
          "/app-health/CONTAINER/KIND on --status_port: JSON, by httpGet, tcpSocket or grpc as "
          "Kubernetes has them, for example "
          "{\"app\":{\"readiness\":{\"httpGet\":{\"port\":8080,\"path\":\"/healthz\"},"
          "\"timeoutSeconds\":1},\"liveness\":{\"tcpSocket\":{\"port\":8080}}}}");
ABSL_FLAG(std::string, proxy_protocol_ports, "",
          "ports whose application wants a PROXY protocol v2 header in front of each connection");
ABSL_FLAG(std::string, outbound_policy, "passthrough",
          "for addresses the control plane says are not in the mesh: passthrough or deny");
ABSL_FLAG(std::string, lookup_failure, "deny",
          "for addresses nobody could say anything about in time: deny or passthrough");
ABSL_FLAG(int32_t, connect_attempts, 3,
          "endpoints of a service that one connection may try, before its first byte; 1 to 10");
ABSL_FLAG(absl::Duration, resolve_timeout, absl::Seconds(2),
          "how long a connection waits to learn what its address is");
ABSL_FLAG(absl::Duration, connect_timeout, absl::Seconds(10),
          "for each TCP connection the proxy makes");
ABSL_FLAG(
    int32_t, max_handshakes, 1024,
    "TLS handshakes of other pods' tunnels under way at once, of all workers together, and as "
    "many of direct mTLS; an address has an eighth");
ABSL_FLAG(
    int32_t, max_tunnels, 8192,
    "tunnels of each direction, of all workers together; past it one that is idle makes room");
ABSL_FLAG(int32_t, max_tunnels_per_peer, 2048,
          "inbound tunnels of one peer identity, of all workers together");
ABSL_FLAG(int32_t, max_streams_per_peer, 20000,
          "connections of one peer identity through its tunnels, of all workers together");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(30),
          "from SIGTERM until what is still open is reset");
ABSL_FLAG(
    absl::Duration, drain_hold, absl::ZeroDuration(),
    "from SIGTERM until inbound connections are no longer accepted: the time until peers know "
    "that this pod goes; part of --drain_timeout");
ABSL_FLAG(
    absl::Duration, drain_quiet, absl::Milliseconds(250),
    "a draining proxy ends when, after --drain_hold, no connection has been open or has begun "
    "for so long; more where SIGTERM comes while the application still runs, which may make "
    "new connections until --drain_timeout ends it");
ABSL_FLAG(absl::Duration, idle_timeout, absl::ZeroDuration(),
          "ends a connection on which no byte has moved for so long; 0: never");
ABSL_FLAG(absl::Duration, half_close_timeout, absl::Seconds(60),
          "ends a connection of which one side has ended and no byte has moved for so long, if an "
          "end does not answer keepalives");
ABSL_FLAG(absl::Duration, max_connection_age, absl::ZeroDuration(),
          "ends connections after this time, give or take a tenth; 0: never");
ABSL_FLAG(int64_t, max_connections, 0,
          "connections open at the same time, both directions; more are refused; 0: no limit");
ABSL_FLAG(int64_t, max_buffered_bytes, 0,
          "what the buffers of all connections together may take beyond the least of each (12288 a "
          "connection), at least 1048576; 0: a quarter of the memory limit, at most 67108864");
ABSL_FLAG(int64_t, memory_limit, 0,
          "bytes this process may use; from 85 % on, with what open connections are promised, new "
          "ones are refused; 0: what the container's control group says, if anything");
ABSL_FLAG(std::string, identity_expiry, "drain",
          "tunnels whose certificate was replaced take no new connections, and those they have: "
          "drain (go on while later handshakes prove both ends anew), keep (go on) or strict (end "
          "at once)");
ABSL_FLAG(std::string, log_level, "info", "error, warning, info or debug");
ABSL_FLAG(std::string, log_format, "json", "json or text");
ABSL_FLAG(std::string, access_log, "close",
          "lines of JSON on stderr: close (one per finished or refused connection), open_close "
          "(another when it begins to be carried) or off");
ABSL_FLAG(int32_t, metrics_series, 2000,
          "series on /metrics at most; connections that would need more are counted together");

namespace byrnie {
namespace {

constexpr int kMaxDefaultWorkers = 2;
constexpr int kMaxWorkers = 64;
constexpr int64_t kLeastBufferedBytes = 1024 * 1024;
// What an idle proxy needs, twice.
constexpr int64_t kLeastMemory = 16 * 1024 * 1024;
// The proxy's own metrics need some hundreds.
constexpr int kMinSeries = 1000;
constexpr int kMaxSeries = 100000;
constexpr int kMaxConnectAttempts = 10;

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

absl::StatusOr<absl::Duration> ToPartOfDrain(const char* flag, absl::Duration value,
                                             absl::Duration timeout) {
  if (value < absl::ZeroDuration() || value > timeout) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, "=", absl::FormatDuration(value),
        ": out of range; give 0 to --drain_timeout, which is ", absl::FormatDuration(timeout)));
  }
  return value;
}

// Says which flag an error is about.
template <typename T>
absl::StatusOr<T> OfFlag(const char* flag, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", value.status().message()));
}

// 0 is off.
absl::StatusOr<absl::Duration> ToOptionalTimeout(const char* flag, absl::Duration value) {
  if (value == absl::ZeroDuration()) return absl::InfiniteDuration();
  if (value < absl::Milliseconds(1) || value > absl::Hours(24 * 365)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", absl::FormatDuration(value),
                     ": out of range; give 1ms to 8760h, or 0 for never"));
  }
  return value;
}

absl::StatusOr<int> ToCount(const char* flag, int32_t value) {
  constexpr int kMaxCount = 1000000;
  if (value < 1 || value > kMaxCount) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", value, ": out of range; give 1 to ", kMaxCount));
  }
  return value;
}

// 0 is whatever the flag says it is.
absl::StatusOr<uint64_t> ToAmount(const char* flag, int64_t value, int64_t least) {
  if (value == 0 || value >= least) return static_cast<uint64_t>(value);
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": too little; give at least ", least, ", or 0"));
}

std::string ShowTimeout(absl::Duration value) {
  return value == absl::InfiniteDuration() ? "0" : absl::FormatDuration(value);
}

// One of two words.
absl::StatusOr<bool> ToChoice(const char* flag, const std::string& value, const char* when_true,
                              const char* when_false) {
  if (value == when_true) return true;
  if (value == when_false) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": not known; give ", when_true, " or ", when_false));
}

absl::StatusOr<AccessLog> ToAccessLog(const std::string& value) {
  if (value == "off") return AccessLog::kOff;
  if (value == "close") return AccessLog::kClose;
  if (value == "open_close") return AccessLog::kOpenClose;
  return absl::InvalidArgumentError(
      absl::StrCat("--access_log=", value, ": not known; give close, open_close or off"));
}

int AllowedCpus() {
  const int quota = FindCpuQuota(ReadSystemFile).value_or(kMaxDefaultWorkers);
  cpu_set_t set;
  CPU_ZERO(&set);
  // More CPUs than the set holds are more than we use.
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return quota;
  return std::max(1, std::min(quota, CPU_COUNT(&set)));
}

// The kernel's ip_local_port_range of this network namespace, for both families; where it cannot
// be read, what kernels have by default.
PortRange KernelsLocalPorts() {
  PortRange ports = ProxyConfig().local_ports;
  const absl::StatusOr<std::string> text = ReadFile("/proc/sys/net/ipv4/ip_local_port_range", 100);
  int first = 0, last = 0;
  if (!text.ok() || sscanf(text->c_str(), "%d %d", &first, &last) != 2) return ports;
  if (first < 1 || last > 65535 || first > last) return ports;
  ports.first = static_cast<uint16_t>(first);
  ports.last = static_cast<uint16_t>(last);
  return ports;
}

// To a port of the sidecar's own they would say nothing of the application, or ask for themselves.
absl::Status CheckOtherPorts(const ProxyConfig& config) {
  for (const AppProbe& probe : config.app_probes) {
    if (!config.IsSidecarPort(probe.url.port)) continue;
    return absl::InvalidArgumentError(absl::StrCat("--app_probes: ", probe.Name(), ": port ",
                                                   probe.url.port, " is the sidecar's own"));
  }
  for (const uint16_t port : config.inbound.proxy_protocol_ports) {
    if (!config.IsSidecarPort(port)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--proxy_protocol_ports=", absl::GetFlag(FLAGS_proxy_protocol_ports), ": ",
                     port, " is the sidecar's own; leave it out"));
  }
  return absl::OkStatus();
}

// Their names: headers may hold what is nobody's business.
std::string ShowProbes(const std::vector<AppProbe>& probes) {
  return absl::StrJoin(probes, ",", [](std::string* out, const AppProbe& probe) {
    absl::StrAppend(out, probe.Name());
  });
}

absl::Status CheckPortsDiffer(const ProxyConfig& config) {
  const std::pair<const char*, uint16_t> ports[] = {
      {"admin", config.admin.port()},
      {"outbound_port", config.outbound_port},
      {"inbound_port", config.inbound_port},
      {"hbone_port", config.hbone_port},
      {"stats_port", config.stats_port},
      {"status_port", config.status_port},
      {"redirect_check_port", config.redirect_check_port}};
  absl::flat_hash_map<uint16_t, const char*> seen;
  for (const auto& [flag, port] : ports) {
    if (port == 0) continue;  // Off.
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
  if (absl::GetFlag(FLAGS_redirect_check_port) != 0) {
    ASSIGN_OR_RETURN(config.redirect_check_port,
                     ToPort("redirect_check_port", absl::GetFlag(FLAGS_redirect_check_port)));
  }
  RETURN_IF_ERROR(CheckPortsDiffer(config));
  const int workers = absl::GetFlag(FLAGS_workers);
  if (workers < 0 || workers > kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers=", workers, ": out of range; give 0 to ", kMaxWorkers));
  }
  config.local_ports = KernelsLocalPorts();
  config.workers = workers != 0 ? workers : std::min(kMaxDefaultWorkers, AllowedCpus());
  const std::string mode = absl::GetFlag(FLAGS_mtls_mode);
  ASSIGN_OR_RETURN(config.inbound.strict, ToChoice("mtls_mode", mode, "strict", "permissive"));
  const std::string port_modes = absl::GetFlag(FLAGS_mtls_port_modes);
  ASSIGN_OR_RETURN(config.inbound.strict_at, OfFlag("mtls_port_modes", ParsePortModes(port_modes)));
  const std::string probe_ports = absl::GetFlag(FLAGS_probe_ports);
  ASSIGN_OR_RETURN(config.inbound.probe_ports, OfFlag("probe_ports", ParsePortSet(probe_ports)));
  const std::string probe_sources = absl::GetFlag(FLAGS_probe_sources);
  const absl::Status sources = config.inbound.SetProbeSources(probe_sources);
  if (!sources.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--probe_sources: ", sources.message()));
  }
  ASSIGN_OR_RETURN(config.app_probes,
                   OfFlag("app_probes", ParseAppProbes(absl::GetFlag(FLAGS_app_probes))));
  const std::string proxy_protocol_ports = absl::GetFlag(FLAGS_proxy_protocol_ports);
  ASSIGN_OR_RETURN(config.inbound.proxy_protocol_ports,
                   OfFlag("proxy_protocol_ports", ParsePortSet(proxy_protocol_ports)));
  RETURN_IF_ERROR(CheckOtherPorts(config));
  const std::string interception = absl::GetFlag(FLAGS_inbound_interception);
  ASSIGN_OR_RETURN(const bool tproxy,
                   ToChoice("inbound_interception", interception, "tproxy", "redirect"));
  config.inbound_interception =
      tproxy ? InboundInterception::kTproxy : InboundInterception::kRedirect;
  const std::string outbound_policy = absl::GetFlag(FLAGS_outbound_policy);
  ASSIGN_OR_RETURN(const bool passthrough,
                   ToChoice("outbound_policy", outbound_policy, "passthrough", "deny"));
  config.outbound_policy = passthrough ? OutboundPolicy::kPassthrough : OutboundPolicy::kDeny;
  const std::string lookup_failure = absl::GetFlag(FLAGS_lookup_failure);
  ASSIGN_OR_RETURN(config.passthrough_on_lookup_failure,
                   ToChoice("lookup_failure", lookup_failure, "passthrough", "deny"));
  config.connect_attempts = absl::GetFlag(FLAGS_connect_attempts);
  if (config.connect_attempts < 1 || config.connect_attempts > kMaxConnectAttempts) {
    return absl::InvalidArgumentError(absl::StrCat("--connect_attempts=", config.connect_attempts,
                                                   ": out of range; give 1 to ",
                                                   kMaxConnectAttempts));
  }
  ASSIGN_OR_RETURN(config.resolve_timeout,
                   ToTimeout("resolve_timeout", absl::GetFlag(FLAGS_resolve_timeout)));
  ASSIGN_OR_RETURN(config.connect_timeout,
                   ToTimeout("connect_timeout", absl::GetFlag(FLAGS_connect_timeout)));
  ASSIGN_OR_RETURN(config.max_handshakes,
                   ToCount("max_handshakes", absl::GetFlag(FLAGS_max_handshakes)));
  ASSIGN_OR_RETURN(config.max_tunnels, ToCount("max_tunnels", absl::GetFlag(FLAGS_max_tunnels)));
  ASSIGN_OR_RETURN(config.max_tunnels_per_peer,
                   ToCount("max_tunnels_per_peer", absl::GetFlag(FLAGS_max_tunnels_per_peer)));
  ASSIGN_OR_RETURN(config.max_streams_per_peer,
                   ToCount("max_streams_per_peer", absl::GetFlag(FLAGS_max_streams_per_peer)));
  ASSIGN_OR_RETURN(config.drain_timeout,
                   ToTimeout("drain_timeout", absl::GetFlag(FLAGS_drain_timeout)));
  ASSIGN_OR_RETURN(config.drain_hold, ToPartOfDrain("drain_hold", absl::GetFlag(FLAGS_drain_hold),
                                                    config.drain_timeout));
  ASSIGN_OR_RETURN(
      config.drain_quiet,
      ToPartOfDrain("drain_quiet", absl::GetFlag(FLAGS_drain_quiet), config.drain_timeout));
  ASSIGN_OR_RETURN(config.idle_timeout,
                   ToOptionalTimeout("idle_timeout", absl::GetFlag(FLAGS_idle_timeout)));
  ASSIGN_OR_RETURN(config.half_close_timeout,
                   ToTimeout("half_close_timeout", absl::GetFlag(FLAGS_half_close_timeout)));
  ASSIGN_OR_RETURN(
      config.max_connection_age,
      ToOptionalTimeout("max_connection_age", absl::GetFlag(FLAGS_max_connection_age)));
  ASSIGN_OR_RETURN(config.max_connections,
                   ToAmount("max_connections", absl::GetFlag(FLAGS_max_connections), 1));
  ASSIGN_OR_RETURN(
      config.max_buffered_bytes,
      ToAmount("max_buffered_bytes", absl::GetFlag(FLAGS_max_buffered_bytes), kLeastBufferedBytes));
  ASSIGN_OR_RETURN(config.memory_limit,
                   ToAmount("memory_limit", absl::GetFlag(FLAGS_memory_limit), kLeastMemory));
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
  const std::string access_log = absl::GetFlag(FLAGS_access_log);
  ASSIGN_OR_RETURN(config.access_log, ToAccessLog(access_log));
  config.metrics_series = absl::GetFlag(FLAGS_metrics_series);
  if (config.metrics_series < kMinSeries || config.metrics_series > kMaxSeries) {
    return absl::InvalidArgumentError(absl::StrCat("--metrics_series=", config.metrics_series,
                                                   ": out of range; give ", kMinSeries, " to ",
                                                   kMaxSeries));
  }
  config.shown_flags = {
      {"link_socket", config.link_socket},
      {"admin", admin},
      {"outbound_port", absl::StrCat(config.outbound_port)},
      {"inbound_port", absl::StrCat(config.inbound_port)},
      {"hbone_port", absl::StrCat(config.hbone_port)},
      {"stats_port", absl::StrCat(config.stats_port)},
      {"status_port", absl::StrCat(config.status_port)},
      {"redirect_check_port", absl::StrCat(config.redirect_check_port)},
      {"workers", absl::StrCat(config.workers)},
      {"inbound_interception", interception},
      {"mtls_mode", mode},
      {"mtls_port_modes", port_modes},
      {"probe_ports", probe_ports},
      {"probe_sources", probe_sources},
      {"app_probes", ShowProbes(config.app_probes)},
      {"proxy_protocol_ports", proxy_protocol_ports},
      {"outbound_policy", outbound_policy},
      {"lookup_failure", lookup_failure},
      {"connect_attempts", absl::StrCat(config.connect_attempts)},
      {"resolve_timeout", absl::FormatDuration(config.resolve_timeout)},
      {"connect_timeout", absl::FormatDuration(config.connect_timeout)},
      {"max_handshakes", absl::StrCat(config.max_handshakes)},
      {"max_tunnels", absl::StrCat(config.max_tunnels)},
      {"max_tunnels_per_peer", absl::StrCat(config.max_tunnels_per_peer)},
      {"max_streams_per_peer", absl::StrCat(config.max_streams_per_peer)},
      {"drain_timeout", absl::FormatDuration(config.drain_timeout)},
      {"drain_hold", absl::FormatDuration(config.drain_hold)},
      {"drain_quiet", absl::FormatDuration(config.drain_quiet)},
      {"idle_timeout", ShowTimeout(config.idle_timeout)},
      {"half_close_timeout", absl::FormatDuration(config.half_close_timeout)},
      {"max_connection_age", ShowTimeout(config.max_connection_age)},
      {"max_connections", absl::StrCat(config.max_connections)},
      {"max_buffered_bytes", absl::StrCat(config.max_buffered_bytes)},
      {"memory_limit", absl::StrCat(config.memory_limit)},
      {"identity_expiry", expiry},
      {"log_level", std::string(LogLevelName(config.log_level))},
      {"log_format", format},
      {"access_log", access_log},
      {"metrics_series", absl::StrCat(config.metrics_series)},
  };
  return config;
}

}  // namespace byrnie
