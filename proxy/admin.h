#ifndef BYRNIE_PROXY_ADMIN_H_
#define BYRNIE_PROXY_ADMIN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/http/http_server.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_config.h"
#include "proxy/worker.h"

namespace byrnie {

// The three HTTP servers of the proxy: admin pages (loopback, Host checked), metrics, readiness.
// Lives on the control loop.
class Admin {
 public:
  // What the pages show and do. Calls come on the control loop.
  class Host {
   public:
    virtual ~Host() = default;
    virtual MeshSnapshotPtr mesh() const = 0;
    virtual bool link_up() const = 0;
    virtual bool draining() const = 0;
    // What keeps the proxy from being ready; empty: it is.
    virtual std::vector<std::string> Missing() const = 0;
    // Connections of all workers; waits for them a bounded time. `complete` tells whether all
    // answered.
    virtual std::vector<Worker::View> InspectWorkers(bool* complete) = 0;
    virtual void BeginDrain() = 0;
    virtual void Quit() = 0;
  };

  // Listens. Errors as TcpListener::Create. All pointers outlive this.
  static absl::StatusOr<std::unique_ptr<Admin>> Create(EventLoop* loop, const ProxyConfig* config,
                                                       const MetricRegistry* metrics,
                                                       Logger* logger, Host* host);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

 private:
  Admin(EventLoop* loop, const ProxyConfig* config, const MetricRegistry* metrics, Logger* logger,
        Host* host);

  absl::Status Listen();
  std::vector<HttpServer::Route> AdminRoutes();
  HttpResponse Home();
  HttpResponse Metrics() const;
  HttpResponse Ready() const;
  HttpResponse SetLogLevel(const HttpRequest& request);

  EventLoop* const loop_;                // Not owned.
  const ProxyConfig* const config_;      // Not owned.
  const MetricRegistry* const metrics_;  // Not owned.
  Logger* const logger_;                 // Not owned.
  Host* const host_;                     // Not owned.
  const absl::Duration started_;
  std::unique_ptr<HttpServer> admin_server_;
  std::unique_ptr<HttpServer> stats_server_;
  std::unique_ptr<HttpServer> status_server_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADMIN_H_
