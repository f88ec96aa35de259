#include "proxy/tunnel_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/flow/source_network.h"
#include "common/tls/tls_stream.h"
#include "proxy/access_record.h"
#include "proxy/access_report.h"
#include "proxy/connect_refusal.h"
#include "proxy/connection_registry.h"
#include "proxy/end_reason.h"
#include "proxy/flow_shard.h"
#include "proxy/handshake_counts.h"
#include "proxy/hbone_headers.h"
#include "proxy/inbound.h"
#include "proxy/trust_change.h"
#include "proxy/tunnel_fault.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// A clean end of a tunnel that the peer does not read is given up after this.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);
// A tunnel that carries nothing and whose peer does not end it: peers evict theirs earlier.
constexpr absl::Duration kIdleTimeout = absl::Minutes(10);

// One that was taken past a limit for the sake of its handshake is ended after this: the peer has
// had the answer to what it asked for at once.
constexpr absl::Duration kForProofTimeout = absl::Seconds(1);
// Of one address at the same time.
constexpr size_t kForProofOfAddress = 2;

HandshakeGate::Options GateOptions(const ProxyConfig& config) {
  HandshakeGate::Options options;
  options.limits = HandshakeCounts::Shared(static_cast<size_t>(config.max_handshakes));
  options.first_byte_timeout = config.first_byte_timeout;
  options.handshake_timeout = config.handshake_timeout;
  return options;
}

// There was no room for it as a tunnel, only for what its handshake proves.
struct ForProof final : HandshakeGate::Note {
  ForProof(PeerUsage::Share taken, const Overload::Shed& why)
      : share(std::move(taken)), shed(why) {}

  PeerUsage::Share share;
  const Overload::Shed shed;
};

}  // namespace

class TunnelServer::Tunnel final : public ConnectSession::Delegate {
 public:
  Tunnel(TunnelServer* server, std::shared_ptr<const IdentityInUse> identity,
         HandshakeGate::Arrival arrival)
      : server_(server),
        identity_(std::move(identity)),
        handshake_id_(arrival.id),
        source_(arrival.source),
        local_(arrival.local),
        created_(arrival.arrived),
        for_proof_(static_cast<ForProof*>(arrival.note.release())),
        timer_(server->context_->loop->NewTimer([this] { OnTimer(); })) {
    TlsStream::Options options;
    options.federated = true;
    options.budget = server_->session_options_.budget;
    options.scratch = server_->session_options_.scratch;
    // What waiting for its turn has left of it.
    options.handshake_timeout =
        server_->context_->config->handshake_timeout - (server_->context_->loop->Now() - created_);
    tls_ = TlsStream::Create(server_->context_->loop, std::move(arrival.stream), identity_->server,
                             std::move(options),
                             [this](absl::Status status) { OnHandshake(std::move(status)); });
  }
  ~Tunnel() override {
    if (state_ == State::kOpen || state_ == State::kClosing) metrics().tunnels_open->Add(-1);
  }

  bool open() const { return state_ == State::kOpen; }
  const PeerInfo& peer() const { return *peer_; }
  bool has_peer() const { return peer_ != nullptr; }
  const std::string& peer_name() const { return peer_->peer.id.text(); }
  size_t streams() const { return session_ == nullptr ? 0 : session_->open_streams(); }
  bool idle() const { return state_ == State::kOpen && session_->open_streams() == 0; }
  // Loop time of the end of its last stream.
  absl::Duration idle_since() const { return idle_since_; }

  // Ends a handshake for which there is no room any more.
  void Evict() {
    DCHECK(state_ == State::kHandshaking);
    state_ = State::kClosed;
    server_->context_->metrics->CountHandshake(AccessRecord::Direction::kInbound,
                                               absl::UnavailableError("evicted"));
    server_->LogRefused(source_, local_, AccessRecord::Result::kFailed,
                        tunnel_reason::kHandshakeEvicted, "unfinished, and the room was needed",
                        server_->context_->loop->Now() - created_);
    server_->Remove(this);
  }
  // It is over, though it may be there until the end of the turn.
  void Uncount() { share_.Release(); }
  void Drain() {
    if (session_ == nullptr) return;
    draining_ = true;
    session_->Drain(After());
  }
  void Close() {
    if (state_ != State::kOpen) return;
    state_ = State::kClosing;
    timer_->Schedule(kCloseTimeout);
    session_->Close(After());
  }

  TunnelView View() const {
    TunnelView view;
    view.source = source_;
    if (peer_ != nullptr) {
      view.peer = peer_->peer.id.text();
      view.id = peer_->tunnel;
    }
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

  // A tunnel may end for a new certificate or for room: only a drain of the proxy is a reason to go
  // elsewhere.
  ConnectSession::After After() const {
    return server_->draining_ ? ConnectSession::After::kLeaves : ConnectSession::After::kStays;
  }

  const ProxyMetrics::PerDirection& metrics() const {
    return server_->context_->metrics->direction(AccessRecord::Direction::kInbound);
  }

  void OnHandshake(absl::Status status) {
    // Evicted, and not yet buried.
    if (state_ != State::kHandshaking) return;
    server_->HandshakeOver(handshake_id_);
    WorkerContext& context = *server_->context_;
    context.metrics->CountHandshake(AccessRecord::Direction::kInbound, status);
    if (!status.ok()) {
      state_ = State::kClosed;
      LogRefusal(status);
      server_->Remove(this);
      return;
    }
    const IdentitySnapshot& own = *identity_->identity;
    auto peer =
        std::make_shared<PeerInfo>(PeerInfo{tls_->peer(), tls_->session(), own.id(),
                                            own.generation(), own.not_after(), tls_->peer_chain()});
    peer->tunnel = ++server_->made_;
    peer_ = peer;
    // The handshake was judged by the bundles it began with.
    const IdentitySnapshot& now = *context.mesh->identity->identity;
    const bool outdated = now.generation() != own.generation();
    const absl::Status proven =
        outdated ? CheckProven(now.bundles(), *peer_, context.loop->WallNow()) : absl::OkStatus();
    if (!proven.ok()) {
      state_ = State::kClosed;
      LogRefusal(proven);
      server_->Remove(this);
      return;
    }
    context.counts->proofs.Record(source_, now, context.loop->WallNow(), peer.get());
    PeerUsage::Tunnel counted = context.counts->inbound.AddTunnel(peer_name());
    if (!server_->MakeRoomFor(peer_->peer.id, counted)) {
      server_->LogRefused(source_, local_, AccessRecord::Result::kFailed,
                          tunnel_reason::kTunnelLimit, "too many tunnels, and none is idle",
                          context.loop->Now() - created_, &peer_->peer.id);
      peer_.reset();
      state_ = State::kClosed;
      server_->Remove(this);
      return;
    }
    share_ = std::move(counted.share);
    server_->peers_[peer_name()].insert(this);
    idle_since_ = context.loop->Now();
    state_ = State::kOpen;
    // The snapshot has served; holding it would keep old certificates in memory.
    identity_.reset();
    metrics().tunnels_created->Increment();
    metrics().tunnels_open->Add(1);
    session_ = ConnectSession::CreateServer(context.loop, std::move(tls_),
                                            server_->session_options_, this);
    timer_->Schedule(for_proof_ == nullptr ? kIdleTimeout : kForProofTimeout);
    if (server_->draining_ || outdated) Drain();
  }

  // A refused handshake is a refused connection: it has its line in the access log.
  void LogRefusal(const absl::Status& status) {
    WorkerContext& context = *server_->context_;
    const absl::string_view reason = status.code() == absl::StatusCode::kDeadlineExceeded
                                         ? tunnel_reason::kHandshakeTimeout
                                         : end_reason::OfHandshake(status);
    const AccessRecord::Result result = status.code() == absl::StatusCode::kUnauthenticated
                                            ? AccessRecord::Result::kDenied
                                            : AccessRecord::Result::kFailed;
    server_->LogRefused(source_, local_, result, reason, std::string(status.message()),
                        context.loop->Now() - created_);
  }

  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) override {
    if (for_proof_ != nullptr) {
      const Overload::Shed& shed = for_proof_->shed;
      stream->Reject(503, {{kDenyReasonHeader, std::string(shed.reason)}});
      server_->LogRefused(source_, local_, AccessRecord::Result::kFailed, shed.reason,
                          std::string(shed.detail), absl::ZeroDuration(), &peer_->peer.id);
      return;
    }
    PeerUsage::Share share = server_->context_->counts->inbound.AddConnection(
        peer_name(), server_->max_streams_per_peer_);
    if (!share) {
      stream->Reject(503, {{kDenyReasonHeader, std::string(tunnel_reason::kStreamLimit)}});
      server_->LogRefused(
          source_, local_, AccessRecord::Result::kFailed, tunnel_reason::kStreamLimit,
          absl::StrCat("the peer has ", server_->max_streams_per_peer_, " connections open"),
          absl::ZeroDuration(), &peer_->peer.id);
      return;
    }
    auto connection = std::make_unique<InboundConnection>(
        server_->context_, std::move(stream), std::move(request.authority), source_, local_, peer_);
    connection->set_share(std::move(share));
    connection->set_claims(ReadClaims(request.headers));
    server_->context_->registry->Add(std::move(connection));
  }
  void OnBadRequest(std::unique_ptr<ConnectStream> stream, int http_status,
                    const absl::Status& why) override {
    const bool past_limit = absl::IsResourceExhausted(why);
    const absl::string_view reason =
        past_limit ? tunnel_reason::kStreamLimit : access_reason::kBadConnectRequest;
    if (stream != nullptr) stream->Reject(http_status, {{kDenyReasonHeader, std::string(reason)}});
    server_->LogRefused(source_, local_,
                        past_limit ? AccessRecord::Result::kFailed : AccessRecord::Result::kDenied,
                        reason, std::string(why.message()), absl::ZeroDuration(), &peer_->peer.id);
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override { idle_since_ = server_->context_->loop->Now(); }
  void OnSessionClosed(const absl::Status& status) override {
    LogFault(status);
    Finish();
  }
  void LogFault(const absl::Status& status) {
    absl::optional<TunnelFault> fault = TunnelFaultOf(status, "source");
    if (!fault.has_value()) return;
    server_->LogRefused(source_, local_, AccessRecord::Result::kDenied, fault->reason,
                        std::move(fault->detail), absl::ZeroDuration(), &peer_->peer.id);
  }
  void OnTimer() {
    if (state_ == State::kClosing) {
      Finish();
    } else if (state_ == State::kOpen) {
      const bool busy = session_->open_streams() > 0;
      const absl::Duration idle =
          busy ? absl::ZeroDuration() : server_->context_->loop->Now() - idle_since_;
      if (for_proof_ != nullptr || idle >= kIdleTimeout) {
        Close();
      } else {
        timer_->Schedule(kIdleTimeout - idle);
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
  const uint64_t handshake_id_;
  const SocketAddress source_;
  const IpAddress local_;
  const absl::Duration created_;
  const std::unique_ptr<const ForProof> for_proof_;  // Null: an ordinary one.
  absl::Duration idle_since_ = absl::ZeroDuration();
  State state_ = State::kHandshaking;
  bool draining_ = false;
  std::unique_ptr<TlsStream> tls_;  // Until the handshake is done.
  std::unique_ptr<ConnectSession> session_;
  std::shared_ptr<const PeerInfo> peer_;
  PeerUsage::Share share_;  // Once there is a peer.
  std::unique_ptr<EventLoop::Timer> timer_;
};

TunnelServer::TunnelServer(WorkerContext* context, const ConnectSession::Options& session)
    : context_(context),
      session_options_(session),
      max_tunnels_(static_cast<size_t>(context->config->max_tunnels)),
      max_tunnels_per_peer_(static_cast<size_t>(context->config->max_tunnels_per_peer)),
      max_streams_per_peer_(static_cast<size_t>(context->config->max_streams_per_peer)),
      gate_(context->loop, GateOptions(*context->config), &context->counts->handshakes, this),
      bury_(context->loop->NewDeferred([this] {
        std::vector<std::unique_ptr<Tunnel>> ended = std::move(ended_);
        ended_.clear();
      })) {}

TunnelServer::~TunnelServer() = default;

void TunnelServer::Accept(std::unique_ptr<TcpStream> stream) {
  const absl::StatusOr<SocketAddress> source = stream->RemoteAddress();
  const absl::StatusOr<SocketAddress> local = stream->LocalAddress();
  // Gone before it was looked at.
  if (!source.ok() || !local.ok()) return;
  if (!HasIdentity(*source, local->ip(), absl::ZeroDuration())) return;
  std::unique_ptr<HandshakeGate::Note> note;
  if (const auto shed = context_->overload->WhyNotTunnel(stream->fd())) {
    absl::string_view no_proof;
    note = TakeForProof(stream->fd(), source->ip(), *shed, &no_proof);
    if (note == nullptr) {
      LogRefused(*source, local->ip(), AccessRecord::Result::kFailed, shed->reason,
                 absl::StrCat(shed->detail, no_proof), absl::ZeroDuration());
      return;
    }
  }
  gate_.Accept(std::move(stream), *source, local->ip(), std::move(note));
  CountHandshakes();
}

std::unique_ptr<HandshakeGate::Note> TunnelServer::TakeForProof(int fd, const IpAddress& source,
                                                                const Overload::Shed& shed,
                                                                absl::string_view* why_not) {
  ProcessCounts& counts = *context_->counts;
  if (!counts.proofs.Knows(source)) return nullptr;
  if (!context_->overload->TakesProof(fd)) {
    *why_not = ", also for a new proof of who has connections open";
    return nullptr;
  }
  PeerUsage::Share share = counts.for_proofs.AddConnection(source.ToString(), kForProofOfAddress);
  if (!share) {
    *why_not = ", and two of this address are here for a new proof";
    return nullptr;
  }
  return std::make_unique<ForProof>(std::move(share), shed);
}

void TunnelServer::CountHandshakes() {
  context_->metrics->handshakes_open->Add(static_cast<int64_t>(gate_.size()) -
                                          static_cast<int64_t>(handshakes_counted_));
  handshakes_counted_ = gate_.size();
}

bool TunnelServer::HasIdentity(const SocketAddress& source, const IpAddress& local,
                               absl::Duration duration) {
  const std::shared_ptr<const IdentityInUse>& identity = context_->mesh->identity;
  const absl::Status valid = identity == nullptr
                                 ? absl::FailedPreconditionError("no identity yet")
                                 : identity->identity->CheckValidAt(context_->loop->WallNow());
  if (valid.ok()) return true;
  LogRefused(source, local, AccessRecord::Result::kFailed, access_reason::kNoIdentity,
             std::string(valid.message()), duration);
  return false;
}

void TunnelServer::OnTurn(HandshakeGate::Arrival arrival) {
  const uint64_t id = arrival.id;
  if (!HasIdentity(arrival.source, arrival.local, context_->loop->Now() - arrival.arrived)) {
    gate_.Done(id);
    CountHandshakes();
    return;
  }
  auto tunnel = std::make_unique<Tunnel>(this, context_->mesh->identity, std::move(arrival));
  Tunnel* raw = tunnel.get();
  shaking_.emplace(id, raw);
  tunnels_.emplace(raw, std::move(tunnel));
}

void TunnelServer::OnRefused(const HandshakeGate::Arrival& arrival, absl::string_view reason,
                             std::string detail) {
  LogRefused(arrival.source, arrival.local, AccessRecord::Result::kFailed, reason,
             std::move(detail), context_->loop->Now() - arrival.arrived);
  CountHandshakes();
}

void TunnelServer::OnEvicted(uint64_t id) {
  const auto it = shaking_.find(id);
  DCHECK(it != shaking_.end());
  Tunnel* const tunnel = it->second;
  shaking_.erase(it);
  tunnel->Evict();
}

void TunnelServer::HandshakeOver(uint64_t id) {
  gate_.Done(id);
  shaking_.erase(id);
  CountHandshakes();
}

void TunnelServer::LogRefused(const SocketAddress& source, const IpAddress& local,
                              AccessRecord::Result result, absl::string_view reason,
                              std::string detail, absl::Duration duration, const SpiffeId* peer) {
  const auto direction = AccessRecord::Direction::kInbound;
  context_->metrics->direction(direction).opened->Increment();
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
  if (peer != nullptr) record.peer_identity = *peer;
  record.stages = StageTimes(context_->loop->Now() - duration);
  record.stages.Complete(StageTimes::kTls, context_->loop->Now());
  ReportEnd(*context_, record);
  // Who could not prove who it is; room that was missing says nothing about the two.
  if (context_->flows == nullptr || result != AccessRecord::Result::kDenied) return;
  FlowKeyView flow;
  flow.direction = direction;
  flow.path = FlowKeyView::Path::kHbone;
  flow.verdict = result;
  if (peer != nullptr) {
    flow.peer = peer->text();
  } else {
    flow.source_network = SourceNetworkOf(source.ip()).address;
  }
  flow.destination = record.original_destination;
  context_->flows->NoteRefused(flow, source.ip(), reason);
}

void TunnelServer::Remove(Tunnel* tunnel) {
  auto it = tunnels_.find(tunnel);
  DCHECK(it != tunnels_.end());
  tunnel->Uncount();
  if (tunnel->has_peer()) {
    const auto peer = peers_.find(tunnel->peer_name());
    if (peer != peers_.end()) {
      peer->second.erase(tunnel);
      if (peer->second.empty()) peers_.erase(peer);
    }
  }
  ended_.push_back(std::move(it->second));
  tunnels_.erase(it);
  bury_->Schedule();
}

template <typename Tunnels>
bool TunnelServer::CloseLongestIdle(const Tunnels& tunnels) {
  Tunnel* longest = nullptr;
  for (Tunnel* tunnel : tunnels) {
    if (!tunnel->idle()) continue;
    if (longest == nullptr || tunnel->idle_since() < longest->idle_since()) longest = tunnel;
  }
  if (longest == nullptr) return false;
  longest->Close();
  return true;
}

bool TunnelServer::MakeRoomFor(const SpiffeId& peer, const PeerUsage::Tunnel& tunnel) {
  // What is being closed counts until it is gone, and may be as many again. Handshakes have a limit
  // of their own.
  if (tunnel.of_peer > max_tunnels_per_peer_) {
    if (tunnel.of_peer > 2 * max_tunnels_per_peer_) return false;
    const auto its = peers_.find(peer.text());
    if (its == peers_.end() || !CloseLongestIdle(its->second)) return false;
  }
  if (tunnel.of_all <= max_tunnels_) return true;
  if (tunnel.of_all > 2 * max_tunnels_) return false;
  std::vector<Tunnel*> all;
  all.reserve(tunnels_.size());
  for (const auto& [raw, owned] : tunnels_) all.push_back(raw);
  return CloseLongestIdle(all);
}

void TunnelServer::CloseIdle() {
  for (const auto& [raw, tunnel] : tunnels_) {
    if (tunnel->idle()) tunnel->Close();
  }
}

void TunnelServer::Drain() {
  draining_ = true;
  gate_.Hurry();
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
