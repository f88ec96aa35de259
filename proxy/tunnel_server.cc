#include "proxy/tunnel_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/tls/tls_stream.h"
#include "proxy/access_record.h"
#include "proxy/connection_registry.h"
#include "proxy/inbound.h"
#include "proxy/trust_change.h"

namespace byrnie {
namespace {

// A clean end of a tunnel that the peer does not read is given up after this.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);
// A tunnel that carries nothing and whose peer does not end it: peers evict theirs earlier.
constexpr absl::Duration kIdleTimeout = absl::Minutes(10);

}  // namespace

class TunnelServer::Tunnel final : public ConnectSession::Delegate {
 public:
  Tunnel(TunnelServer* server, std::shared_ptr<const IdentityInUse> identity,
         std::unique_ptr<TcpStream> stream, const SocketAddress& source, const IpAddress& local)
      : server_(server),
        identity_(std::move(identity)),
        source_(source),
        local_(local),
        created_(server->context_->loop->Now()),
        timer_(server->context_->loop->NewTimer([this] { OnTimer(); })) {
    ++server_->handshakes_;
    TlsStream::Options options;
    options.handshake_timeout = server_->context_->config->handshake_timeout;
    tls_ = TlsStream::Create(server_->context_->loop, std::move(stream), identity_->server,
                             std::move(options),
                             [this](absl::Status status) { OnHandshake(std::move(status)); });
  }
  ~Tunnel() override {
    if (state_ == State::kHandshaking) --server_->handshakes_;
    if (state_ == State::kOpen || state_ == State::kClosing) metrics().tunnels_open->Add(-1);
  }

  bool open() const { return state_ == State::kOpen; }
  const PeerInfo& peer() const { return *peer_; }

  void Drain() {
    if (session_ == nullptr) return;
    draining_ = true;
    session_->Drain();
  }
  void Close() {
    if (state_ != State::kOpen) return;
    state_ = State::kClosing;
    timer_->Schedule(kCloseTimeout);
    session_->Close();
  }

  TunnelView View() const {
    TunnelView view;
    view.source = source_.ToString();
    if (peer_ != nullptr) view.peer = peer_->peer.id.text();
    view.state = state_ == State::kHandshaking ? "handshaking"
                 : state_ != State::kOpen      ? "closing"
                 : draining_                   ? "draining"
                                               : "open";
    if (session_ != nullptr) view.streams = session_->open_streams();
    view.age = server_->context_->loop->Now() - created_;
    return view;
  }

 private:
  enum class State { kHandshaking, kOpen, kClosing, kClosed };

  const ProxyMetrics::PerDirection& metrics() const {
    return server_->context_->metrics->direction(AccessRecord::Direction::kInbound);
  }

  void OnHandshake(absl::Status status) {
    --server_->handshakes_;
    WorkerContext& context = *server_->context_;
    context.metrics->CountHandshake(AccessRecord::Direction::kInbound, status);
    if (!status.ok()) {
      state_ = State::kClosed;
      LogRefusal(status);
      server_->Remove(this);
      return;
    }
    const IdentitySnapshot& own = *identity_->identity;
    peer_ =
        std::make_shared<PeerInfo>(PeerInfo{tls_->peer(), tls_->session(), own.id(),
                                            own.generation(), own.not_after(), tls_->peer_chain()});
    // The handshake was judged by the bundles it began with.
    const IdentitySnapshot& now = *context.mesh->identity->identity;
    const bool outdated = now.generation() != own.generation();
    if (outdated && !ProvenBy(now.bundles(), *peer_, context.loop->WallNow())) {
      state_ = State::kClosed;
      LogRefusal(absl::UnauthenticatedError(
          absl::StrCat("peer ", peer_->peer.id.text(), " lost our trust during the handshake")));
      server_->Remove(this);
      return;
    }
    state_ = State::kOpen;
    // The snapshot has served; holding it would keep old certificates in memory.
    identity_.reset();
    metrics().tunnels_created->Increment();
    metrics().tunnels_open->Add(1);
    session_ = ConnectSession::CreateServer(context.loop, std::move(tls_),
                                            server_->session_options_, this);
    timer_->Schedule(kIdleTimeout);
    if (server_->draining_ || outdated) Drain();
  }

  // A refused handshake is a refused connection: it has its line in the access log.
  void LogRefusal(const absl::Status& status) {
    WorkerContext& context = *server_->context_;
    const absl::string_view reason = status.code() == absl::StatusCode::kDeadlineExceeded
                                         ? access_reason::kConnectTimeout
                                         : access_reason::kTlsFailed;
    const AccessRecord::Result result = status.code() == absl::StatusCode::kUnauthenticated
                                            ? AccessRecord::Result::kDenied
                                            : AccessRecord::Result::kFailed;
    server_->LogRefused(source_, local_, result, reason, std::string(status.message()),
                        context.loop->Now() - created_);
  }

  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) override {
    server_->context_->registry->Add(
        std::make_unique<InboundConnection>(server_->context_, std::move(stream),
                                            std::move(request.authority), source_, local_, peer_));
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override { Finish(); }
  void OnTimer() {
    if (state_ == State::kClosing) {
      Finish();
    } else if (state_ == State::kOpen) {
      if (session_->open_streams() == 0) {
        Close();
      } else {
        timer_->Schedule(kIdleTimeout);
      }
    }
  }
  void Finish() {
    if (state_ == State::kClosed) return;
    metrics().tunnels_open->Add(-1);
    state_ = State::kClosed;
    timer_->Cancel();
    server_->Remove(this);
  }

  TunnelServer* const server_;  // Not owned.
  std::shared_ptr<const IdentityInUse> identity_;
  const SocketAddress source_;
  const IpAddress local_;
  const absl::Duration created_;
  State state_ = State::kHandshaking;
  bool draining_ = false;
  std::unique_ptr<TlsStream> tls_;  // Until the handshake is done.
  std::unique_ptr<ConnectSession> session_;
  std::shared_ptr<const PeerInfo> peer_;
  std::unique_ptr<EventLoop::Timer> timer_;
};

TunnelServer::TunnelServer(WorkerContext* context, const ConnectSession::Options& session)
    : context_(context), session_options_(session), bury_(context->loop->NewDeferred([this] {
        std::vector<std::unique_ptr<Tunnel>> ended = std::move(ended_);
        ended_.clear();
      })) {}

TunnelServer::~TunnelServer() = default;

void TunnelServer::Accept(std::unique_ptr<TcpStream> stream) {
  const absl::StatusOr<SocketAddress> source = stream->RemoteAddress();
  const absl::StatusOr<SocketAddress> local = stream->LocalAddress();
  // Gone before it was looked at.
  if (!source.ok() || !local.ok()) return;
  const std::shared_ptr<const IdentityInUse>& identity = context_->mesh->identity;
  if (identity == nullptr || identity->identity->not_after() <= context_->loop->WallNow()) {
    LogRefused(*source, local->ip(), AccessRecord::Result::kFailed, access_reason::kNoIdentity,
               identity == nullptr ? "no identity yet" : "the own certificate has expired",
               absl::ZeroDuration());
    return;
  }
  if (handshakes_ >= kMaxHandshakes) {
    LogRefused(*source, local->ip(), AccessRecord::Result::kFailed, access_reason::kOverloaded,
               "too many handshakes", absl::ZeroDuration());
    return;
  }
  if (const auto shed = context_->overload->WhyNotTunnel(stream->fd())) {
    LogRefused(*source, local->ip(), AccessRecord::Result::kFailed, shed->reason,
               std::string(shed->detail), absl::ZeroDuration());
    return;
  }
  auto tunnel = std::make_unique<Tunnel>(this, identity, std::move(stream), *source, local->ip());
  Tunnel* raw = tunnel.get();
  tunnels_.emplace(raw, std::move(tunnel));
}

void TunnelServer::LogRefused(const SocketAddress& source, const IpAddress& local,
                              AccessRecord::Result result, absl::string_view reason,
                              std::string detail, absl::Duration duration) {
  const auto direction = AccessRecord::Direction::kInbound;
  context_->metrics->direction(direction).opened->Increment();
  context_->metrics->CountEnd(direction, result, reason);
  if (!context_->config->access_log) return;
  AccessRecord record;
  record.start = context_->loop->WallNow() - duration;
  record.duration = duration;
  record.direction = direction;
  record.protocol = AccessRecord::Protocol::kHbone;
  record.result = result;
  record.reason = std::string(reason);
  record.detail = std::move(detail);
  record.source = source;
  record.original_destination = SocketAddress(local, context_->config->hbone_port);
  context_->logger->WriteRaw(ToJson(record));
}

void TunnelServer::Remove(Tunnel* tunnel) {
  auto it = tunnels_.find(tunnel);
  DCHECK(it != tunnels_.end());
  ended_.push_back(std::move(it->second));
  tunnels_.erase(it);
  bury_->Schedule();
}

void TunnelServer::Drain() {
  draining_ = true;
  for (const auto& [raw, tunnel] : tunnels_) tunnel->Drain();
}

void TunnelServer::CloseExpired(absl::Time now) {
  if (context_->config->identity_expiry == IdentityExpiry::kKeep) return;
  for (const auto& [raw, tunnel] : tunnels_) {
    if (tunnel->open() && tunnel->peer().not_after() <= now) tunnel->Close();
  }
}

void TunnelServer::CloseUnless(absl::AnyInvocable<bool(const PeerInfo& peer)> keep) {
  for (const auto& [raw, tunnel] : tunnels_) {
    if (tunnel->open() && !keep(tunnel->peer())) tunnel->Close();
  }
}

void TunnelServer::DrainOtherGenerations(uint64_t generation) {
  for (const auto& [raw, tunnel] : tunnels_) {
    if (tunnel->open() && tunnel->peer().own_generation != generation) tunnel->Drain();
  }
}

void TunnelServer::CloseOtherGenerations(uint64_t generation) {
  for (const auto& [raw, tunnel] : tunnels_) {
    if (tunnel->open() && tunnel->peer().own_generation != generation) tunnel->Close();
  }
}

std::vector<TunnelServer::TunnelView> TunnelServer::View() const {
  std::vector<TunnelView> views;
  views.reserve(tunnels_.size());
  for (const auto& [raw, tunnel] : tunnels_) views.push_back(tunnel->View());
  return views;
}

}  // namespace byrnie
