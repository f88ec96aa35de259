#include "proxy/proxy_metrics.h"

#include "proxy/authorizer.h"
#include "proxy/end_reason.h"
#include "proxy/routing_table.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// Reasons with which a connection may be denied or fail.
constexpr absl::string_view kReasons[] = {
    access_reason::kIdleTimeout,
    access_reason::kHalfCloseTimeout,
    access_reason::kDrained,
    access_reason::kPolicyChanged,
    access_reason::kIdentityExpired,
    access_reason::kOverloaded,
    access_reason::kBuffersFull,
    access_reason::kMaxAge,
    access_reason::kTooManyConnections,
    access_reason::kTooManySockets,
    access_reason::kMemoryPressure,
    access_reason::kNoOriginalDestination,
    access_reason::kUnknownAddress,
    access_reason::kResolveTimeout,
    access_reason::kResolveUnavailable,
    access_reason::kNoIdentity,
    access_reason::kTlsFailed,
    access_reason::kPeerIdentityMismatch,
    access_reason::kConnectFailed,
    access_reason::kConnectTimeout,
    access_reason::kTunnelRefused,
    access_reason::kClientHelloTimeout,
    access_reason::kBadConnectRequest,
    access_reason::kLoop,
    access_reason::kInternal,
    access_reason::kResetByDownstream,
    access_reason::kResetByUpstream,
    decision_reason::kPolicyDeny,
    decision_reason::kPolicyMissing,
    decision_reason::kNoAllowMatch,
    decision_reason::kNoPolicySnapshot,
    decision_reason::kPlaintextRefused,
    decision_reason::kForeignTrustDomain,
    route_reason::kUnknownServicePort,
    route_reason::kNoEndpoint,
    route_reason::kNoHealthyEndpoint,
    end_reason::kTrustRemoved,
    tunnel_reason::kHandshakeSilent,
    tunnel_reason::kHandshakeTimeout,
    tunnel_reason::kHandshakeEvicted,
    tunnel_reason::kHandshakeSourceLimit,
    tunnel_reason::kHandshakeLimit,
    tunnel_reason::kTunnelLimit,
    tunnel_reason::kStreamLimit,
};

// From a link on the same machine to an agent that is away.
const double kSignBounds[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                              0.01,    0.025,  0.05,    0.1,    0.5,   1,      5};

}  // namespace

ProxyMetrics::ProxyMetrics(MetricRegistry* registry)
    : inbound_(AddDirection(registry, "inbound")), outbound_(AddDirection(registry, "outbound")) {
  for (absl::string_view reason : kReasons) {
    refused_[std::string(reason)] = registry->AddCounter(
        "byrnie_proxy_refused_total", "Connections denied, failed or ended by the proxy, by reason",
        {{"reason", std::string(reason)}});
  }
  link_up = registry->AddGauge("byrnie_proxy_link_up", "1 while linked to the agent");
  policy_epoch = registry->AddGauge("byrnie_proxy_policy_epoch",
                                    "Grows with each set of policies in force; 0: none yet");
  certificate_expiry =
      registry->AddGauge("byrnie_proxy_certificate_expiry_timestamp_seconds",
                         "When the own certificate chain ends, Unix time; 0: no identity yet");
  workloads = registry->AddGauge("byrnie_proxy_workloads", "Workloads the routing table knows");
  services = registry->AddGauge("byrnie_proxy_services", "Services the routing table knows");
  const auto update = [registry](const char* type, const char* result) {
    return registry->AddCounter("byrnie_proxy_updates_total", "Updates from the agent",
                                {{"type", type}, {"result", result}});
  };
  identity_accepted = update("identity", "accepted");
  identity_rejected = update("identity", "rejected");
  policy_accepted = update("policies", "accepted");
  policy_rejected = update("policies", "rejected");
  address_accepted = update("addresses", "accepted");
  address_rejected = update("addresses", "rejected");
  const auto resolve = [registry](const char* result) {
    return registry->AddCounter("byrnie_proxy_resolves_total",
                                "Addresses asked for on demand, by answer", {{"result", result}});
  };
  resolve_found = resolve("found");
  resolve_not_in_mesh = resolve("not_in_mesh");
  resolve_failed = resolve("failed");
  const auto sign = [registry](const char* result) {
    return registry->AddCounter("byrnie_proxy_signs_total", "Signatures asked of the agent",
                                {{"result", result}});
  };
  sign_ok = sign("ok");
  sign_failed = sign("failed");
  sign_seconds =
      registry->AddHistogram("byrnie_proxy_sign_seconds", "Round trip of a signature to the agent",
                             std::vector<double>(std::begin(kSignBounds), std::end(kSignBounds)));
  const auto first = [registry](const char* kind) {
    return registry->AddCounter(
        "byrnie_proxy_redirected_total",
        "Inbound connections carried without a tunnel, by what they turned out to be",
        {{"kind", kind}});
  };
  first_bytes.mtls = first("mtls");
  first_bytes.tls = first("tls");
  first_bytes.plaintext = first("plaintext");
  first_bytes.server_first = first("server_first");
  first_bytes.probe = first("probe");
  memory_used = registry->AddGauge(
      "byrnie_proxy_memory_used_bytes",
      "What counts towards the memory limit, as last measured; 0: there is no limit");
  memory_limit = registry->AddGauge("byrnie_proxy_memory_limit_bytes",
                                    "The memory limit in force; 0: there is none");
  shedding = registry->AddGauge("byrnie_proxy_shedding",
                                "1 while new connections are refused because memory is short");
  buffered_bytes = registry->AddGauge(
      "byrnie_proxy_buffered_bytes", "Bytes of connections kept because they could not be written");
  handshakes_open = registry->AddGauge(
      "byrnie_proxy_handshakes_open",
      "Connections to the tunnel port whose handshake is not over, or not begun");
}

ProxyMetrics::PerDirection ProxyMetrics::AddDirection(MetricRegistry* registry,
                                                      const std::string& name) {
  const MetricLabels labels = {{"direction", name}};
  const auto closed = [&](const char* result) {
    return registry->AddCounter("byrnie_proxy_connections_closed_total",
                                "Connections ended, by result",
                                {{"direction", name}, {"result", result}});
  };
  const auto bytes = [&](const char* flow) {
    return registry->AddCounter(
        "byrnie_proxy_bytes_total",
        "Application bytes, of open connections counted every few seconds; sent: from who opened "
        "the connection",
        {{"direction", name}, {"flow", flow}});
  };
  const auto handshakes = [&](const char* result) {
    return registry->AddCounter("byrnie_proxy_handshakes_total", "TLS handshakes, by result",
                                {{"direction", name}, {"result", result}});
  };
  PerDirection metrics;
  metrics.opened =
      registry->AddCounter("byrnie_proxy_connections_opened_total", "Connections taken", labels);
  metrics.open =
      registry->AddGauge("byrnie_proxy_connections_open", "Connections not ended yet", labels);
  metrics.closed_allowed = closed("allowed");
  metrics.closed_denied = closed("denied");
  metrics.closed_failed = closed("failed");
  metrics.bytes_sent = bytes("sent");
  metrics.bytes_received = bytes("received");
  metrics.tunnels_created =
      registry->AddCounter("byrnie_proxy_tunnels_created_total", "Tunnels made", labels);
  metrics.tunnels_open = registry->AddGauge("byrnie_proxy_tunnels_open", "Tunnels open", labels);
  metrics.handshakes_ok = handshakes("ok");
  metrics.handshakes_unauthenticated = handshakes("unauthenticated");
  metrics.handshakes_timeout = handshakes("timeout");
  metrics.handshakes_unavailable = handshakes("unavailable");
  return metrics;
}

void ProxyMetrics::CountHandshake(AccessRecord::Direction direction,
                                  const absl::Status& status) const {
  const PerDirection& metrics = this->direction(direction);
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return metrics.handshakes_ok->Increment();
    case absl::StatusCode::kUnauthenticated:
      return metrics.handshakes_unauthenticated->Increment();
    case absl::StatusCode::kDeadlineExceeded:
      return metrics.handshakes_timeout->Increment();
    default:
      return metrics.handshakes_unavailable->Increment();
  }
}

void ProxyMetrics::CountEnd(AccessRecord::Direction direction, AccessRecord::Result result,
                            absl::string_view reason) const {
  const PerDirection& metrics = this->direction(direction);
  switch (result) {
    case AccessRecord::Result::kAllowed:
      metrics.closed_allowed->Increment();
      break;
    case AccessRecord::Result::kDenied:
      metrics.closed_denied->Increment();
      break;
    case AccessRecord::Result::kFailed:
      metrics.closed_failed->Increment();
      break;
  }
  if (reason == access_reason::kClosed) return;
  auto it = refused_.find(reason.substr(0, reason.find(' ')));
  if (it == refused_.end()) it = refused_.find(access_reason::kInternal);
  it->second->Increment();
}

}  // namespace byrnie
