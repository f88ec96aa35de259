#include "proxy/proxy_metrics.h"

#include <iterator>

#include "proxy/reason_set.h"

namespace byrnie {
namespace {

// From a link on the same machine to an agent that is away.
const double kSignBounds[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                              0.01,    0.025,  0.05,    0.1,    0.5,   1,      5};

// From within the machine to a deadline.
const double kStageBounds[] = {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10};

constexpr AccessRecord::Direction kDirections[] = {AccessRecord::Direction::kInbound,
                                                   AccessRecord::Direction::kOutbound};
constexpr AccessRecord::Result kResults[] = {
    AccessRecord::Result::kAllowed, AccessRecord::Result::kDenied, AccessRecord::Result::kFailed};

size_t ClosedIndex(AccessRecord::Direction direction, AccessRecord::Result result, size_t reason) {
  const size_t of_direction = direction == AccessRecord::Direction::kInbound ? 0 : 1;
  return (of_direction * std::size(kResults) + static_cast<size_t>(result)) * AllReasons().size() +
         reason;
}

}  // namespace

ProxyMetrics::ProxyMetrics(MetricRegistry* registry)
    : inbound_(AddDirection(registry, "inbound")),
      outbound_(AddDirection(registry, "outbound")),
      closed_(new std::atomic<uint64_t>[std::size(kDirections) * std::size(kResults) *
                                        AllReasons().size()]()) {
  registry->AddCounterCollector(
      "byrnie_proxy_connections_closed_total",
      "Connections ended, by result and reason; with those open they are exactly those opened",
      [this](CounterSink sink) { CollectClosed(sink); });
  for (absl::string_view reason : AllReasons()) {
    refused_.push_back(
        reason == access_reason::kClosed
            ? nullptr
            : registry->AddCounter(
                  "byrnie_proxy_refused_total",
                  "Connections denied, failed or ended by the proxy, by reason; not those "
                  "that were allowed and reset by one of their ends",
                  {{"reason", std::string(reason)}}));
  }
  link_up = registry->AddGauge("byrnie_proxy_link_up", "1 while linked to the agent");
  policy_epoch = registry->AddGauge("byrnie_proxy_policy_epoch",
                                    "Grows with each set of policies in force; 0: none yet");
  identities_held = registry->AddGauge(
      "byrnie_proxy_identities_held",
      "Identities whose TLS contexts are in memory: the one in use, and those before it that "
      "connections were made with");
  certificate_expiry =
      registry->AddGauge("byrnie_proxy_certificate_expiry_timestamp_seconds",
                         "When the own certificate chain ends, Unix time; 0: no identity yet");
  crl_this_update = registry->AddGauge(
      "byrnie_proxy_crl_this_update_timestamp_seconds",
      "When the oldest revocation list in force was made, Unix time; 0: there is none");
  crl_next_update = registry->AddGauge(
      "byrnie_proxy_crl_next_update_timestamp_seconds",
      "When the first revocation list in force ends, and with it the trust in those it is about, "
      "Unix time; 0: there is none");
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
  connect_retries = registry->AddCounter(
      "byrnie_proxy_connect_retries_total",
      "Attempts to connect to another endpoint of a service after one had failed");
  stale_endpoints = registry->AddCounter(
      "byrnie_proxy_stale_endpoints_total",
      "Endpoints that proved another identity than known, so that they were asked for anew");
  const auto passthrough = [registry](const char* why) {
    return registry->AddCounter("byrnie_proxy_passthrough_total",
                                "Outbound connections to unknown addresses carried as they are",
                                {{"why", why}});
  };
  passthrough_not_in_mesh = passthrough("not_in_mesh");
  passthrough_lookup_failed = passthrough("lookup_failed");
  const auto proofs = [registry](const char* result) {
    return registry->AddCounter(
        "byrnie_proxy_identity_proofs_renewed_total",
        "Handshakes made to prove the identities of open connections anew, before the last proof "
        "ends",
        {{"result", result}});
  };
  proofs_renewed = proofs("renewed");
  proofs_unchanged = proofs("unchanged");
  proofs_failed = proofs("failed");
  ejections = registry->AddCounter("byrnie_proxy_ejections_total",
                                   "Times a worker ejected an endpoint it could not connect to");
  endpoints_ejected = registry->AddGauge("byrnie_proxy_endpoints_ejected",
                                         "Endpoints ejected at present, counted by each worker");
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
  first_bytes.unfinished_hello = first("unfinished_hello");
  first_bytes.probe = first("probe");
  memory_used = registry->AddGauge(
      "byrnie_proxy_memory_used_bytes",
      "What counts towards the memory limit, as last measured; 0: there is no limit");
  memory_limit = registry->AddGauge("byrnie_proxy_memory_limit_bytes",
                                    "The memory limit in force; 0: there is none");
  shedding = registry->AddGauge("byrnie_proxy_shedding",
                                "1 while new connections are refused because memory is short");
  buffered_bytes = registry->AddGauge("byrnie_proxy_buffered_bytes",
                                      "Memory of bytes kept because they could not be written yet");
  unfinished_hello_bytes = registry->AddGauge(
      "byrnie_proxy_unfinished_hello_bytes",
      "Memory of ClientHellos without a tunnel that are not whole, beyond the first 4 KiB of each");
  handshakes_open = registry->AddGauge(
      "byrnie_proxy_handshakes_open",
      "Inbound connections, of tunnels and without one, whose handshake is not over, or not begun");
  flow_edges = registry->AddGauge(
      "byrnie_proxy_flow_edges",
      "Edges of the mesh that are known here: who has talked to whom, kept for the control plane");
  flow_edges_left_out = registry->AddCounter(
      "byrnie_proxy_flow_edges_left_out_total",
      "Edges of the mesh dropped before the control plane was told of them: too many at once");
}

ProxyMetrics::PerDirection ProxyMetrics::AddDirection(MetricRegistry* registry,
                                                      const std::string& name) {
  const MetricLabels labels = {{"direction", name}};
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
  metrics.bytes_sent = bytes("sent");
  metrics.bytes_received = bytes("received");
  metrics.tunnels_created =
      registry->AddCounter("byrnie_proxy_tunnels_created_total", "Tunnels made", labels);
  metrics.tunnels_open = registry->AddGauge("byrnie_proxy_tunnels_open", "Tunnels open", labels);
  for (size_t i = 0; i < StageTimes::kStages; ++i) {
    metrics.stages[i] = registry->AddHistogram(
        "byrnie_proxy_stage_seconds",
        "Time a connection spent in each stage; first bytes are counted from the accept",
        std::vector<double>(std::begin(kStageBounds), std::end(kStageBounds)),
        {{"direction", name},
         {"stage", std::string(StageTimes::NameOf(static_cast<StageTimes::Stage>(i)))}});
  }
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
  const size_t index = ReasonIndex(reason);
  closed_[ClosedIndex(direction, result, index)].fetch_add(1, std::memory_order_relaxed);
  // An application's own reset of what was allowed is nobody's refusal.
  const bool own_reset =
      result == AccessRecord::Result::kAllowed &&
      (reason == access_reason::kResetByDownstream || reason == access_reason::kResetByUpstream);
  if (refused_[index] != nullptr && !own_reset) refused_[index]->Increment();
}

void ProxyMetrics::ObserveStages(AccessRecord::Direction direction,
                                 const StageTimes& stages) const {
  const PerDirection& metrics = this->direction(direction);
  for (size_t i = 0; i < StageTimes::kStages; ++i) {
    const absl::optional<absl::Duration> took = stages.Get(static_cast<StageTimes::Stage>(i));
    if (took.has_value()) metrics.stages[i]->Observe(absl::ToDoubleSeconds(*took));
  }
}

std::vector<uint64_t> ProxyMetrics::Refusals() const {
  std::vector<uint64_t> counts;
  for (const Counter* counter : refused_) {
    counts.push_back(counter == nullptr ? 0 : counter->value());
  }
  return counts;
}

void ProxyMetrics::CollectClosed(CounterSink sink) const {
  for (const AccessRecord::Direction direction : kDirections) {
    for (const AccessRecord::Result result : kResults) {
      for (size_t reason = 0; reason < AllReasons().size(); ++reason) {
        const uint64_t count =
            closed_[ClosedIndex(direction, result, reason)].load(std::memory_order_relaxed);
        if (count == 0) continue;
        sink(RenderLabels({{"direction", std::string(NameOf(direction))},
                           {"result", std::string(NameOf(result))},
                           {"reason", std::string(AllReasons()[reason])}}),
             count);
      }
    }
  }
}

}  // namespace byrnie
