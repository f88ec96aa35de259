#ifndef BYRNIE_PROXY_WORKER_H_
#define BYRNIE_PROXY_WORKER_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/net/buffer_budget.h"
#include "common/net/socket_address.h"
#include "common/telemetry/labelled_counters.h"
#include "common/telemetry/log.h"
#include "proxy/connection.h"
#include "proxy/connection_counts.h"
#include "proxy/flight_recorder.h"
#include "proxy/flow.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/outlier_detector.h"
#include "proxy/overload.h"
#include "proxy/process_counts.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"
#include "proxy/relay.h"
#include "proxy/resolver.h"
#include "proxy/tunnel_pool.h"
#include "proxy/tunnel_server.h"

namespace byrnie {

// One thread and loop of the data path, with its own listeners: a connection lives its whole life
// on one worker. Made and ended by the control thread, whose calls only post to the loop.
class Worker {
 public:
  // What the admin page shows of one worker.
  struct View {
    std::vector<Connection::View> connections;
    size_t connection_count = 0;
    std::vector<TunnelPool::TunnelView> outbound_tunnels;
    std::vector<TunnelServer::TunnelView> inbound_tunnels;
    std::vector<OutlierDetector::EndpointView> failed_endpoints;
  };
  // Asks what an address is, with `refresh` past what is known of it, on the worker's thread; must
  // only post.
  using ResolveHandler = absl::AnyInvocable<void(Worker* worker, uint64_t connection,
                                                 const IpAddress& address, bool refresh)>;
  // Takes what the worker has seen of connections, on its thread; must only post.
  using FlowHandler = std::function<void(std::vector<Flow> changes, uint64_t left_out)>;

  struct Dependencies {
    const ProxyConfig* config = nullptr;
    const ProxyMetrics* metrics = nullptr;
    Logger* logger = nullptr;
    const Clock* clock = nullptr;
    BufferBudget* budget = nullptr;
    Overload* overload = nullptr;
    ProcessCounts* counts = nullptr;
    LabelledCounters::Shard* tcp_series = nullptr;
    // Null: nobody is told.
    FlowHandler on_flows;
    // What edges of connections may take between two tellings.
    size_t flow_bytes = 0;
    // Its place among the workers.
    int index = 0;
  };

  // Makes the loop and listens, before there is a thread. Errors as TcpListener::Create. What
  // `dependencies` points to outlives the worker.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const Dependencies& dependencies,
                                                        ResolveHandler resolve);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  // Ends the thread; resets what is still open.
  ~Worker();

  // Starts the thread. Once.
  void Start();
  // Goes on with a new thread once the turn is over, of which connections notice nothing: the C
  // library gives back what a thread has freed and kept for itself, hundreds of pieces that lie on
  // as many pages after a burst, only when the thread ends. Does not wait; after Start.
  void RenewThread();

  // `adopted` runs on the worker's thread once the snapshot is in force there.
  void SetMesh(MeshSnapshotPtr mesh, absl::AnyInvocable<void()> adopted);
  void Resolved(uint64_t connection, Resolver::Outcome outcome);
  // Lets no new inbound connection begin, takes those that have, and then closes the listeners;
  // inbound tunnels get GOAWAY.
  void StopInbound();
  void AbortAll(absl::string_view reason, absl::string_view detail);
  // After AbortAll: drops what could not be delivered since.
  void GiveUpAll(absl::string_view reason, absl::string_view detail);
  // Gives back the memory of inbound tunnels through which nothing goes.
  void CloseIdleTunnels();
  // `done` runs on the worker's thread.
  void Count(absl::AnyInvocable<void(ConnectionCounts counts)> done);
  // `done` runs on the worker's thread: the numbers of the connections open, in no order.
  void ListConnections(absl::AnyInvocable<void(std::vector<uint64_t> ids)> done);
  // `done` runs on the worker's thread: of the connections `ids` those that are still there and
  // `filter` admits, in this order, at most `filter.limit`. They are looked at a few in a turn, so
  // that bytes do not wait.
  void Inspect(Connection::Filter filter, std::vector<uint64_t> ids,
               absl::AnyInvocable<void(View view)> done);
  // `done` runs on the worker's thread.
  void FindEnded(FlightRecorder::Filter filter,
                 absl::AnyInvocable<void(std::vector<FlightRecorder::Entry> found)> done);

 private:
  class Data;
  struct Inspection;
  struct ThreadStart;

  explicit Worker(std::unique_ptr<EpollEventLoop> loop);
  bool StartThread();
  static void* RunThread(void* argument);
  void Continue(std::unique_ptr<Inspection> inspection);

  std::unique_ptr<EpollEventLoop> loop_;
  std::unique_ptr<Data> data_;  // Used on the worker's thread only once that runs.
  std::atomic<bool> ending_{false};
  absl::optional<pthread_t> thread_;  // Joined by its successor or the destructor.
};

// Listens on all addresses of both families, or of IPv4 alone where the kernel has no IPv6, with
// `listen` of the address to try. Returns the error that an operator can act on.
template <typename T>
absl::StatusOr<T> ListenOnAllAddresses(
    uint16_t port, absl::AnyInvocable<absl::StatusOr<T>(const SocketAddress& address)> listen) {
  absl::StatusOr<T> both = listen(SocketAddress(*IpAddress::Parse("::"), port));
  if (both.ok() || both.status().code() == absl::StatusCode::kAlreadyExists ||
      both.status().code() == absl::StatusCode::kPermissionDenied) {
    return both;
  }
  return listen(SocketAddress(IpAddress(), port));
}

}  // namespace byrnie

#endif  // BYRNIE_PROXY_WORKER_H_
