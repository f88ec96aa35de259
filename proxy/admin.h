#ifndef BYRNIE_PROXY_ADMIN_H_
#define BYRNIE_PROXY_ADMIN_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/unique_fd.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/event_loop.h"
#include "common/http/http_server.h"
#include "common/http/same_user_guard.h"
#include "common/net/socket_address.h"
#include "common/net/socket_owner.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "proxy/app_prober.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/probe_dialer.h"
#include "proxy/proxy_config.h"
#include "proxy/redirect_check.h"
#include "proxy/refusal_history.h"
#include "proxy/worker.h"

namespace byrnie {

// The three HTTP servers of the proxy: admin pages (loopback, Host checked; POST for root and the
// proxy's own user alone), metrics, readiness with the probes of the application. A
// thread and loop of their own, so that a page that gathers from the workers, or a slow client,
// delays neither a signature nor a byte. Made and ended by the control thread, which tells it what
// changes.
class Admin {
 public:
  // What the pages show of the control thread's state.
  struct State {
    // Never null.
    MeshSnapshotPtr mesh = std::make_shared<const MeshSnapshot>();
    bool link_up = false;
    bool draining = false;
  };

  // What the pages ask for. Calls come on the admin thread.
  class Host {
   public:
    virtual ~Host() = default;
    // Connections of all workers that are open, and the last that ended, the newest first; both
    // wait for the workers a bounded time. `complete` tells whether all answered.
    virtual std::vector<Worker::View> InspectWorkers(const Connection::Filter& filter,
                                                     bool* complete) = 0;
    virtual std::vector<FlightRecorder::Entry> FindEnded(const FlightRecorder::Filter& filter,
                                                         bool* complete) = 0;
    // Refusals since the start, in the order of AllReasons().
    virtual std::vector<uint64_t> Refusals() = 0;
    // Both only post.
    virtual void BeginDrain() = 0;
    virtual void Quit() = 0;
  };

  // Listens, before there is a thread. Errors as TcpListener::Create. All pointers outlive this.
  static absl::StatusOr<std::unique_ptr<Admin>> Create(const Clock* clock,
                                                       const ProxyConfig* config,
                                                       MetricRegistry* metrics, Logger* logger,
                                                       Host* host);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;
  // Answers the requests that have come, waiting for that at most a second, and ends the thread.
  ~Admin();

  // Starts the thread. Once.
  void Start();
  void SetState(State state);

  // Where it listens; for tests, which let the kernel choose.
  SocketAddress admin_address() const { return admin_server_->address(); }
  SocketAddress status_address() const { return status_server_->address(); }
  SocketAddress stats_address() const { return stats_server_->address(); }

 private:
  Admin(std::unique_ptr<EpollEventLoop> loop, const ProxyConfig* config, MetricRegistry* metrics,
        Logger* logger, Host* host);

  absl::Status Listen();
  void Drain();
  // What keeps the proxy from being ready but the redirect; and that, too. Empty: nothing.
  std::vector<std::string> NotStarted() const;
  std::vector<std::string> NotReady() const;
  std::vector<HttpServer::Route> AdminRoutes();
  HttpResponse Home();
  HttpResponse Connections(const HttpRequest& request);
  HttpResponse Recorder(const HttpRequest& request);
  void SampleRefusals();
  HttpResponse Metrics() const;
  // Of a list of what is missing.
  static HttpResponse Readiness(const std::vector<std::string>& missing);
  HttpResponse WrongPortForReadiness() const;
  HttpResponse SetLogLevel(const HttpRequest& request);

  const std::unique_ptr<EpollEventLoop> loop_;
  const ProxyConfig* const config_;  // Not owned.
  MetricRegistry* const metrics_;    // Not owned.
  Logger* const logger_;             // Not owned.
  Host* const host_;                 // Not owned.
  const KernelSocketOwners owners_;
  const SameUserGuard guard_;
  Gauge* const redirect_in_place_;
  const absl::Duration started_;
  SocketProbeDialer probe_dialer_;
  std::unique_ptr<AppProber> prober_;  // Outlives the server that has its pages.
  std::unique_ptr<HttpServer> admin_server_;
  std::unique_ptr<HttpServer> stats_server_;
  std::unique_ptr<HttpServer> status_server_;
  // Used on the admin thread only.
  State state_;
  RefusalHistory refusals_;
  UniqueFd redirect_port_;
  std::unique_ptr<RedirectCheck> redirect_check_;  // Null without redirect_check_port.
  std::unique_ptr<EventLoop::Timer> sample_timer_;
  std::unique_ptr<EventLoop::Timer> drain_timer_;
  size_t undrained_ = 0;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADMIN_H_
