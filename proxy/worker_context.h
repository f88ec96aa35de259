#ifndef BYRNIE_PROXY_WORKER_CONTEXT_H_
#define BYRNIE_PROXY_WORKER_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/random/random.h"
#include "absl/types/span.h"
#include "common/event/event_loop.h"
#include "common/net/scratch_pool.h"
#include "common/net/socket_address.h"
#include "common/telemetry/labelled_counters.h"
#include "common/telemetry/log.h"
#include "proxy/flight_recorder.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/outlier_detector.h"
#include "proxy/overload.h"
#include "proxy/process_counts.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"
#include "proxy/relay.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

class AskedAddresses;
class ConnectionRegistry;
class DirectMtls;
class FlowShard;
class HandshakeTurns;
class HelloRoom;

// What the connections of one worker share. Lives on the worker's loop; nothing in it is owned
// except where it says so.
struct WorkerContext {
  EventLoop* loop = nullptr;
  const ProxyConfig* config = nullptr;
  const ProxyMetrics* metrics = nullptr;
  Logger* logger = nullptr;
  // Of this worker's ended connections, and its shard of TcpMetrics; may be null.
  FlightRecorder* recorder = nullptr;
  LabelledCounters::Shard* tcp_series = nullptr;
  // What this worker sees of connections, for the control plane; may be null.
  FlowShard* flows = nullptr;
  // Its place among the workers, from 0.
  int worker = 0;
  ConnectionRegistry* registry = nullptr;
  TunnelPool* pool = nullptr;
  DirectMtls* direct = nullptr;
  // The last one of Connection::set_admitted_by, which those with the same share.
  std::shared_ptr<const std::string> last_admission;
  // Of inbound direct mTLS. To ports where plaintext may not pass: those whose ClientHello is not
  // whole, all of them silent ones there, and then those who wait for their turn or shake hands.
  HandshakeTurns* direct_arrivals = nullptr;
  HandshakeTurns* direct_turns = nullptr;
  // For what comes of long ClientHellos, wherever plaintext may pass or not.
  HelloRoom* hello_room = nullptr;
  // About whom inbound connections come from.
  AskedAddresses* asked_peers = nullptr;
  OutlierDetector* outliers = nullptr;
  // Holds nothing between events.
  absl::Span<uint8_t> scratch;
  // Null: streams have memory of their own.
  ScratchPool* scratch_pool = nullptr;
  Relay::Options relay_options;
  // Never null.
  MeshSnapshotPtr mesh = std::make_shared<const MeshSnapshot>();
  absl::InsecureBitGen random;
  // Asked before a connection or tunnel is taken. Shared by all workers.
  Overload* overload = nullptr;
  // Likewise.
  ProcessCounts* counts = nullptr;
  // What this pod's workload is called, for other proxies' logs (see MakeBaggage); empty while
  // unknown.
  std::string baggage;
  // Asks the control thread what an address is, with `refresh` past what is known of it; the answer
  // comes back as Connection::OnResolved, unless the connection `id` has ended by then.
  absl::AnyInvocable<void(uint64_t id, const IpAddress& address, bool refresh)> resolve;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_WORKER_CONTEXT_H_
