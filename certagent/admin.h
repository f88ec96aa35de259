#ifndef BYRNIE_CERTAGENT_ADMIN_H_
#define BYRNIE_CERTAGENT_ADMIN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "certagent/discovery_client.h"
#include "certagent/link_server.h"
#include "certagent/renewer.h"
#include "certagent/sink/file_sink.h"
#include "common/event/event_loop.h"
#include "common/http/http_server.h"
#include "common/http/same_user_guard.h"
#include "common/net/socket_address.h"
#include "common/net/socket_owner.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// The agent's admin pages, on loopback: "/" for people, "/certs" and "/bundles" (JSON), "/metrics"
// (Prometheus), "/healthz/ready", "/healthz/live"; POST "/logging?level=LEVEL" and "/renew", for
// root and the agent's own user alone. Shows nothing secret. Lives on the agent's loop.
//
// It is created before what it shows, so that a taken port is found before anything else happens;
// until Show it answers 503.
class Admin {
 public:
  // What it shows; all outlive it.
  struct Parts {
    Renewer* renewer;
    const DiscoveryClient* discovery;
    const LinkServer* link;
    const FileSink* file_sink;  // Null: there is none.
  };

  // Errors as HttpServer::Create. Pointers outlive the object. Renewals are asked for at most once
  // in `min_renewal_interval`: each is a new key and a signature of the authority.
  static absl::StatusOr<std::unique_ptr<Admin>> Create(EventLoop* loop,
                                                       const SocketAddress& address,
                                                       absl::Duration min_renewal_interval,
                                                       Logger* log, MetricRegistry* metrics);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  void Show(const Parts& parts);
  SocketAddress address() const { return server_->address(); }

  // Empty: the agent has a valid certificate and the policies. Else what is missing.
  std::string NotReadyBecause() const;

 private:
  Admin(EventLoop* loop, absl::Duration min_renewal_interval, Logger* log, MetricRegistry* metrics);
  HttpResponse Page() const;
  HttpResponse Certs() const;
  HttpResponse Bundles() const;
  HttpResponse Ready() const;
  HttpResponse SetLogLevel(const HttpRequest& request);
  HttpResponse Renew();
  void AddGauges();

  EventLoop* const loop_;  // Not owned.
  const absl::Duration min_renewal_interval_;
  Logger* const log_;              // Not owned.
  MetricRegistry* const metrics_;  // Not owned.
  const KernelSocketOwners owners_;
  const SameUserGuard guard_;
  Parts parts_ = {};
  // Monotonic.
  absl::Duration next_renewal_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ADMIN_H_
