#include "controlplane/webhook/webhook_server.h"

#include <pthread.h>

#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tls/tls_stream.h"

namespace byrnie {

WebhookServer::WebhookServer(const ServerIdentity* identity, InjectorConfigPtr config,
                             const Clock* clock, Logger* logger, MetricRegistry* metrics)
    : logger_(logger), handler_(std::move(config), clock, logger, metrics), tls_(identity) {}

absl::StatusOr<std::unique_ptr<WebhookServer>> WebhookServer::Start(
    const SocketAddress& listen, const ServerIdentity* identity, InjectorConfigPtr config,
    const Clock* clock, Logger* logger, MetricRegistry* metrics) {
  auto server =
      absl::WrapUnique(new WebhookServer(identity, std::move(config), clock, logger, metrics));
  RETURN_IF_ERROR(server->Listen(listen, clock, metrics));
  server->thread_ = std::thread([loop = server->loop_.get()] {
    ::pthread_setname_np(::pthread_self(), "webhook");
    loop->Run();
  });
  return server;
}

WebhookServer::~WebhookServer() {
  if (!thread_.joinable()) return;
  loop_->Post([this] { Drain(); });
  thread_.join();
}

absl::Status WebhookServer::Listen(const SocketAddress& address, const Clock* clock,
                                   MetricRegistry* metrics) {
  ASSIGN_OR_RETURN(loop_, EpollEventLoop::Create(clock));
  pulse_ = std::make_unique<LoopPulse>(loop_.get(), clock);
  queue_ = std::make_unique<ReviewQueue>(loop_.get(),
                                         [this](const HttpRequest& request, absl::Duration came) {
                                           return handler_.Inject(request, came);
                                         });
  HttpServer::Options options;
  options.evicted = metrics->AddCounter(
      "byrnie_controlplane_webhook_connections_evicted_total",
      "Connections to the injection webhook closed to make room for newer ones.");
  options.max_connections = kMaxConnections;
  options.max_held_of_client = kMaxHeldOfClient;
  options.max_held = kMaxHeld;
  options.limits.max_body = kMaxAdmissionReview;
  // Whoever has come through the handshake may be an API server that keeps a connection ready.
  options.limits.first_byte = options.limits.idle = kIdle;
  options.transport = [this](std::unique_ptr<TcpStream> tcp) { return Secure(std::move(tcp)); };
  std::vector<HttpServer::Route> routes;
  routes.push_back(
      {"POST", "/inject", nullptr, [this](const HttpRequest& request, HttpRouter::Respond respond) {
         return queue_->Add(request, std::move(respond));
       }});
  ASSIGN_OR_RETURN(http_, HttpServer::Create(loop_.get(), address, options, std::move(routes)));
  return absl::OkStatus();
}

std::unique_ptr<ByteStream> WebhookServer::Secure(std::unique_ptr<TcpStream> tcp) {
  absl::StatusOr<std::shared_ptr<const TlsContext>> context = tls_.Current();
  if (!context.ok()) {
    logger_->Error("webhook cannot take a connection", {{"error", context.status().message()}});
    return nullptr;
  }
  const SocketAddress peer = tcp->RemoteAddress().value_or(SocketAddress());
  return TlsStream::Create(loop_.get(), std::move(tcp), *std::move(context), TlsStream::Options(),
                           [this, peer](const absl::Status& status) {
                             if (!status.ok()) handler_.OnHandshakeFailed(peer, status);
                           });
}

void WebhookServer::SetConfig(InjectorConfigPtr config) {
  loop_->Post(
      [this, config = std::move(config)]() mutable { handler_.SetConfig(std::move(config)); });
}

absl::Status WebhookServer::Check(absl::Duration patience) const {
  const absl::Status status = pulse_->Check(patience);
  return status.ok()
             ? status
             : absl::UnavailableError(absl::StrCat("the injection webhook: ", status.message()));
}

void WebhookServer::Drain() {
  drained_ = loop_->NewTimer([this] { loop_->Stop(); });
  drained_->Schedule(kDrain);
  http_->Drain([this] { loop_->Stop(); });
}

}  // namespace byrnie
