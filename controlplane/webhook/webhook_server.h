#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_SERVER_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_SERVER_H_

#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/http/http_server.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/server/server_identity.h"
#include "controlplane/webhook/loop_pulse.h"
#include "controlplane/webhook/review_queue.h"
#include "controlplane/webhook/server_tls.h"
#include "controlplane/webhook/webhook_handler.h"

namespace byrnie {

// The mutating webhook of an API server, "POST /inject" over HTTPS, on a thread of its own: neither
// what pods it is asked about nor who else comes to its port delays anything else. One thread is
// enough, because whoever asks, the work for one body is bounded to some tens of milliseconds (see
// kMaxReviewValues), client addresses take turns (see ReviewQueue), and what one may have under way
// to kMaxHeldOfClient. Created and destroyed on any one thread; the rest may be called from any.
class WebhookServer {
 public:
  // Of one connection, between two requests: longer than an API server keeps one (90 s), which
  // otherwise sends a review to a connection that is just being closed, and takes that for the
  // answer.
  static constexpr absl::Duration kIdle = absl::Minutes(2);
  // API servers open a connection for each pod that is made at the same time.
  static constexpr size_t kMaxConnections = 256;
  // Of requests that have not come whole or wait: of one address, hundreds of pods as API servers
  // send them and a few of the largest; of all.
  static constexpr size_t kMaxHeldOfClient = 16 * 1024 * 1024;
  static constexpr size_t kMaxHeld = 64 * 1024 * 1024;
  // How long the end waits for clients to take their answers.
  static constexpr absl::Duration kDrain = absl::Seconds(1);

  // It serves when this returns, with `identity`'s current certificate at each connection. Errors
  // as HttpServer::Create. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<WebhookServer>> Start(const SocketAddress& listen,
                                                              const ServerIdentity* identity,
                                                              InjectorConfigPtr config,
                                                              const Clock* clock, Logger* logger,
                                                              MetricRegistry* metrics);
  WebhookServer(const WebhookServer&) = delete;
  WebhookServer& operator=(const WebhookServer&) = delete;
  // Answers what has come. It takes as long as the request that is being answered, and kDrain.
  ~WebhookServer();

  SocketAddress address() const { return http_->address(); }
  void SetConfig(InjectorConfigPtr config);
  // Unavailable while nobody is answered.
  absl::Status Check(absl::Duration patience = LoopPulse::kTooLate) const;

 private:
  WebhookServer(const ServerIdentity* identity, InjectorConfigPtr config, const Clock* clock,
                Logger* logger, MetricRegistry* metrics);
  absl::Status Listen(const SocketAddress& address, const Clock* clock, MetricRegistry* metrics);
  std::unique_ptr<ByteStream> Secure(std::unique_ptr<TcpStream> tcp);
  void Drain();

  Logger* const logger_;  // Not owned.
  WebhookHandler handler_;
  ServerTls tls_;
  std::unique_ptr<EpollEventLoop> loop_;
  std::unique_ptr<LoopPulse> pulse_;
  // Before the server, whose connections wait in it.
  std::unique_ptr<ReviewQueue> queue_;
  std::unique_ptr<EventLoop::Timer> drained_;
  std::unique_ptr<HttpServer> http_;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_SERVER_H_
