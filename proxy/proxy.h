#ifndef BYRNIE_PROXY_PROXY_H_
#define BYRNIE_PROXY_PROXY_H_

#include <memory>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/server_signals.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "proxy/admin.h"
#include "proxy/agent_client.h"
#include "proxy/buffer_budget.h"
#include "proxy/connection_counts.h"
#include "proxy/container_memory.h"
#include "proxy/drain.h"
#include "proxy/flow_reporter.h"
#include "proxy/mesh_state.h"
#include "proxy/overload.h"
#include "proxy/process_counts.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"
#include "proxy/remote_signer.h"
#include "proxy/resolver.h"
#include "proxy/tcp_metrics.h"
#include "proxy/worker.h"

namespace byrnie {

// The whole proxy: the control thread, which calls Run, with the link to the agent, snapshots and
// drain; the admin thread; and the workers. Nothing else makes or joins the parts.
class Proxy final : public AgentClient::Delegate, public Admin::Host, public Drain::Host {
 public:
  // Listens on all ports; signals are blocked and taken by the control loop from here on, so it
  // comes before the first thread. AlreadyExists for a taken port, InvalidArgument for a
  // configuration that cannot work; both for the operator. `logger` and `clock` outlive the proxy.
  static absl::StatusOr<std::unique_ptr<Proxy>> Create(ProxyConfig config, Logger* logger,
                                                       const Clock* clock);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  ~Proxy() override;

  // Serves until drained.
  void Run();

 private:
  Proxy(ProxyConfig config, Logger* logger, const Clock* clock,
        std::unique_ptr<EpollEventLoop> loop);

  absl::Status Init(const Clock* clock);
  absl::Status WatchSignals();
  void ReadGateways();
  // After a burst, gives the memory of its connections back to the system.
  void ReturnMemory();
  void MeasureMemory();
  void OnResolveQuestion(Worker* worker, uint64_t connection, const IpAddress& address,
                         bool refresh);
  void Publish(const MeshSnapshotPtr& mesh);
  void TellAdmin();

  // AgentClient::Delegate:
  absl::Status OnIdentityUpdate(const link::v1::IdentityUpdate& update) override;
  absl::Status OnPolicyUpdate(const link::v1::PolicyUpdate& update) override;
  absl::Status OnAddressUpdate(const link::v1::AddressUpdate& update) override;
  void OnResolveResponse(uint64_t id, link::v1::ResolveResponse::Result result) override;
  void OnFlowAck(bool tell_all) override { flows_.OnAck(tell_all); }
  void OnFlowsLost() override { flows_.OnLost(); }
  void OnLinkUp() override;
  void OnLinkDown(const absl::Status& why) override;

  // Admin::Host, on the admin thread:
  std::vector<Worker::View> InspectWorkers(const Connection::Filter& filter,
                                           bool* complete) override;
  std::vector<FlightRecorder::Entry> FindEnded(const FlightRecorder::Filter& filter,
                                               bool* complete) override;
  std::vector<uint64_t> Refusals() override { return metrics_.Refusals(); }
  void BeginDrain() override {
    loop_->Post([this] { drain_.Begin(); });
  }
  void Quit() override {
    loop_->Post([this] { drain_.Quit(); });
  }

  // The limit can be changed while the container runs.
  void LookAtMemoryLimit();

  // Drain::Host:
  void StopReadiness() override;
  void StopInbound() override;
  void CountConnections(absl::AnyInvocable<void(ConnectionCounts counts)> done) override;
  void AbortConnections(absl::string_view why) override;
  void GiveUpConnections(absl::string_view why) override;
  void OnDrained() override { loop_->Stop(); }

  const ProxyConfig config_;
  Logger* const logger_;  // Not owned.
  MetricRegistry registry_;
  ProxyMetrics metrics_;
  TcpMetrics tcp_metrics_;
  absl::optional<ContainerMemory> memory_;
  SharedBufferBudget budget_;
  Overload overload_;
  ProcessCounts counts_;
  std::unique_ptr<EpollEventLoop> loop_;
  RemoteSigner signer_;
  MeshState mesh_;
  Resolver resolver_;
  Drain drain_;
  std::unique_ptr<AgentClient> agent_;
  absl::BitGen random_;
  FlowReporter flows_;
  // What the admin thread was told last.
  Admin::State shown_;
  // The same ones from the start to the end of the admin thread, which asks them.
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<EventLoop::Timer> memory_timer_;
  std::unique_ptr<EventLoop::Timer> route_timer_;
  // Whether threads have ended since memory was last returned, see ReturnMemory.
  bool trim_again_ = false;
  // Measurements since memory became short.
  int measured_short_ = 0;
  int measured_ = 0;
  // Most there was since memory was last returned, see ReturnMemory.
  int64_t peak_load_ = 0;
  std::unique_ptr<EventLoop::Timer> measure_timer_;
  std::unique_ptr<ServerSignals> signals_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROXY_H_
