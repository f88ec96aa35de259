#ifndef BYRNIE_PROXY_PROXY_METRICS_H_
#define BYRNIE_PROXY_PROXY_METRICS_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/telemetry/metrics.h"
#include "proxy/access_record.h"
#include "proxy/stage_times.h"

namespace byrnie {

// Every metric of the proxy, registered once at the start so that data loops never lock. All label
// values come from closed sets. Thread-safe. Outlives the last reading of its registry.
class ProxyMetrics {
 public:
  // `registry` outlives this.
  explicit ProxyMetrics(MetricRegistry* registry);
  ProxyMetrics(const ProxyMetrics&) = delete;
  ProxyMetrics& operator=(const ProxyMetrics&) = delete;

  struct PerDirection {
    Counter* opened = nullptr;
    Gauge* open = nullptr;
    Counter* bytes_sent = nullptr;
    Counter* bytes_received = nullptr;
    Counter* tunnels_created = nullptr;
    Gauge* tunnels_open = nullptr;
    std::array<Histogram*, StageTimes::kStages> stages = {};
    Counter* handshakes_ok = nullptr;
    Counter* handshakes_unauthenticated = nullptr;
    Counter* handshakes_timeout = nullptr;
    Counter* handshakes_unavailable = nullptr;
  };
  const PerDirection& direction(AccessRecord::Direction direction) const {
    return direction == AccessRecord::Direction::kInbound ? inbound_ : outbound_;
  }
  void CountHandshake(AccessRecord::Direction direction, const absl::Status& status) const;
  // Counts an end; exactly one for each connection that was counted as opened, so that at any time
  // opened = open + closed over all results and reasons. `reason` as in AccessRecord::reason: a
  // policy's key behind it is cut off, an unknown one counts as "internal".
  void CountEnd(AccessRecord::Direction direction, AccessRecord::Result result,
                absl::string_view reason) const;

  // Adds the stages a connection went through.
  void ObserveStages(AccessRecord::Direction direction, const StageTimes& stages) const;
  // Ends by reason since the start, in the order of AllReasons(); clean ends are no refusals and
  // stay zero.
  std::vector<uint64_t> Refusals() const;

  Gauge* link_up;
  Gauge* policy_epoch;
  Gauge* certificate_expiry;
  Gauge* crl_this_update;
  Gauge* crl_next_update;
  Gauge* identities_held;
  Gauge* workloads;
  Gauge* services;
  Counter* identity_accepted;
  Counter* identity_rejected;
  Counter* policy_accepted;
  Counter* policy_rejected;
  Counter* address_accepted;
  Counter* address_rejected;
  Counter* resolve_found;
  Counter* resolve_not_in_mesh;
  Counter* resolve_failed;
  Counter* connect_retries;
  Counter* stale_endpoints;
  Counter* passthrough_not_in_mesh;
  Counter* passthrough_lookup_failed;
  // Handshakes made to prove the identities of open connections anew, by what became of it.
  Counter* proofs_renewed;
  Counter* proofs_unchanged;
  Counter* proofs_failed;
  Counter* ejections;
  Gauge* endpoints_ejected;
  Counter* sign_ok;
  Counter* sign_failed;
  Histogram* sign_seconds;
  Gauge* buffered_bytes;
  Gauge* unfinished_hello_bytes;
  // Redirected inbound connections that were carried, by what they turned out to be.
  struct FirstBytes {
    Counter* mtls;
    Counter* tls;
    Counter* plaintext;
    Counter* server_first;
    // Plaintext for want of the rest of a ClientHello.
    Counter* unfinished_hello;
    Counter* probe;
  };
  FirstBytes first_bytes;
  Gauge* memory_used;
  Gauge* memory_limit;
  Gauge* shedding;
  Gauge* handshakes_open;
  Gauge* flow_edges;
  Counter* flow_edges_left_out;

 private:
  PerDirection AddDirection(MetricRegistry* registry, const std::string& name);
  void CollectClosed(CounterSink sink) const;

  PerDirection inbound_;
  PerDirection outbound_;
  // By direction, result and reason; see ClosedIndex. Series appear with their first connection: of
  // all combinations most never occur.
  std::unique_ptr<std::atomic<uint64_t>[]> closed_;
  // By ReasonIndex; complete from the start. Null for "closed", which is not a refusal.
  std::vector<Counter*> refused_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROXY_METRICS_H_
