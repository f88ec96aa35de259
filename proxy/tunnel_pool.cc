#include "proxy/tunnel_pool.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/identity/identity_snapshot.h"
#include "proxy/trust_change.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// A clean end of a tunnel that the peer does not read is given up after this.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);
// Tunnels tried for one request when fresh ones turn out to have no room.
constexpr int kMaxAttempts = 4;
// Of the peer's words, in an error.
constexpr size_t kMaxQuoted = 128;

constexpr char kDenyReasonPayload[] = "byrnie/deny-reason";

absl::Status Refusal(absl::StatusCode code, int http_status, const HeaderList& headers) {
  std::string text = absl::StrCat("the peer's proxy answered ", http_status);
  absl::string_view reason;
  for (const auto& [name, value] : headers) {
    if (name == kDenyReasonHeader) reason = absl::string_view(value).substr(0, kMaxQuoted);
  }
  if (!reason.empty()) absl::StrAppend(&text, ": ", reason);
  absl::Status status(code, text);
  if (!reason.empty()) status.SetPayload(kDenyReasonPayload, absl::Cord(reason));
  return status;
}

absl::Status PeerSilent(absl::string_view how) {
  return WithReason(absl::UnavailableError(how), tunnel_reason::kPeerSilent);
}

}  // namespace

std::string DenyReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> reason = status.GetPayload(kDenyReasonPayload);
  return reason.has_value() ? std::string(*reason) : std::string();
}

class TunnelPool::PendingRequest final : public Request {
 public:
  PendingRequest(TunnelPool* pool, TunnelTarget target, ConnectRequest request, Callback done)
      : pool_(pool),
        target_(std::move(target)),
        request_(std::move(request)),
        done_(std::move(done)),
        deferred_(pool->loop_->NewDeferred([this] { Deliver(); })) {}
  ~PendingRequest() override;

  bool WaitsForHandshake() const override;

  const TunnelTarget& target() const { return target_; }
  void set_tunnel(Tunnel* tunnel, bool fresh) {
    tunnel_ = tunnel;
    fresh_ = fresh;
    ++attempts_;
  }
  // The tunnel is open: asks for the stream.
  void StartStream();
  // The tunnel is gone, or this attempt on it failed: tries once more where
  // that can help.
  void Retry(absl::Status why, bool handshaking);
  // `done` hears of it at the end of the turn.
  void Fail(absl::Status why) {
    Detach();
    failure_ = std::move(why);
    deferred_->Schedule();
  }

 private:
  void OnResponse(absl::Status status, int http_status, const HeaderList& headers);
  void Detach();
  void Deliver() {
    Callback done = std::move(done_);
    done(std::move(failure_));
  }

  TunnelPool* const pool_;  // Not owned.
  const TunnelTarget target_;
  const ConnectRequest request_;
  Callback done_;
  Tunnel* tunnel_ = nullptr;  // Not owned; null once detached.
  // The tunnel was made for this request, or while it waited: its failure is
  // the answer.
  bool fresh_ = false;
  bool retried_ = false;
  int attempts_ = 0;
  std::unique_ptr<ConnectStream> stream_;
  absl::Status failure_;
  std::unique_ptr<EventLoop::Deferred> deferred_;
};

class TunnelPool::Tunnel final : public ConnectSession::Delegate {
 public:
  Tunnel(TunnelPool* pool, Key key, const TunnelTarget& target)
      : pool_(pool),
        key_(std::move(key)),
        own_id_(pool->identity_->id),
        own_not_after_(pool->identity_->not_after),
        created_(pool->loop_->Now()),
        timer_(pool->loop_->NewTimer([this] { OnTimer(); })) {
    attempt_ = pool->dialer_->Dial(target, pool->identity_->context,
                                   [this](absl::StatusOr<TunnelDialer::Transport> transport) {
                                     OnDialed(std::move(transport));
                                   });
  }
  ~Tunnel() override {
    DCHECK(waiters_.empty() && opening_.empty() && streams_.empty());
    if (state_ == State::kOpen || state_ == State::kClosing) NoteClosed();
    Uncount();
  }

  const Key& key() const { return key_; }
  const std::shared_ptr<const PeerInfo>& peer() const { return peer_; }
  ConnectSession* session() { return session_.get(); }
  bool connecting() const { return state_ == State::kConnecting; }
  bool open() const { return state_ == State::kOpen; }
  bool silent() const { return state_ == State::kOpen && session_->silent(); }
  bool WaitsForPeer() const {
    return state_ == State::kConnecting && attempt_ != nullptr && attempt_->WaitsForPeer();
  }
  // Takes a stream. `peer_limit` is what is known of the peer: this tunnel may
  // not have been told yet.
  bool usable(size_t peer_limit) const { return bulk_streams_ == 0 && has_room(peer_limit); }
  bool has_room(size_t peer_limit) const {
    if (draining_) return false;
    const size_t limit = std::min(pool_->options_.max_streams_per_tunnel, peer_limit);
    if (state_ == State::kConnecting) return waiters_.size() < limit;
    return state_ == State::kOpen && opening_.size() + streams_.size() < limit &&
           session_->CanOpenStream();
  }
  size_t streams() const { return waiters_.size() + opening_.size() + streams_.size(); }
  bool idle() const { return state_ == State::kOpen && opening_.empty() && streams_.empty(); }
  // Loop time of the end of its last stream.
  absl::Duration idle_since() const { return idle_since_; }
  bool finished() const {
    return state_ == State::kClosed && waiters_.empty() && opening_.empty() && streams_.empty();
  }

  void AddWaiter(PendingRequest* request) { waiters_.insert(request); }
  void AddOpening(PendingRequest* request) {
    opening_.insert(request);
    timer_->Cancel();
  }
  void Remove(PendingRequest* request) {
    waiters_.erase(request);
    if (opening_.erase(request) > 0) StreamGone();
  }
  void AddStream(PooledStream* stream) {
    streams_.insert(stream);
    timer_->Cancel();
  }
  void RemoveStream(PooledStream* stream, bool bulk) {
    streams_.erase(stream);
    if (bulk) --bulk_streams_;
    StreamGone();
  }
  void NoteBulk() { ++bulk_streams_; }

  // Takes no new streams; ends when empty.
  void Drain() {
    if (draining_) return;
    draining_ = true;
    Unlist();
    if (session_ != nullptr) session_->Drain();
    pool_->ScheduleReap();
  }
  // Ends now, whatever is open.
  void Close() {
    draining_ = true;
    Unlist();
    if (state_ == State::kConnecting) {
      Finish(absl::UnavailableError("the tunnel was closed while it was being made"));
      return;
    }
    if (state_ != State::kOpen) return;
    state_ = State::kClosing;
    Uncount();
    timer_->Schedule(kCloseTimeout);
    session_->Close();
  }
  // At the end of the turn.
  void MaybeCloseIdle() {
    if (state_ == State::kOpen && draining_ && opening_.empty() && streams_.empty()) Close();
  }

  TunnelView View() const;

 private:
  enum class State { kConnecting, kOpen, kClosing, kClosed };

  void OnDialed(absl::StatusOr<TunnelDialer::Transport> transport);
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    // Only servers are asked; destroying the stream cancels it.
    stream.reset();
  }
  void OnGoaway() override { Drain(); }
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status& status) override {
    Finish(status.ok() ? absl::UnavailableError("the tunnel was closed by the peer") : status);
  }
  void OnTimer() {
    if (state_ == State::kClosing) {
      Finish(absl::UnavailableError("the tunnel was closed"));
    } else if (state_ == State::kOpen && opening_.empty() && streams_.empty()) {
      Close();
    }
  }
  void StreamGone() {
    if (!opening_.empty() || !streams_.empty()) return;
    idle_since_ = pool_->loop_->Now();
    if (state_ == State::kOpen && !draining_) timer_->Schedule(pool_->options_.idle_timeout);
    pool_->ScheduleReap();
  }
  void Finish(absl::Status why) {
    if (state_ == State::kClosed) return;
    if (state_ != State::kConnecting) NoteClosed();
    const bool was_open = state_ != State::kConnecting;
    state_ = State::kClosed;
    Uncount();
    attempt_.reset();
    timer_->Cancel();
    Unlist();
    // Both only leave this tunnel here; their callbacks come at the end of the
    // turn.
    absl::flat_hash_set<PendingRequest*> requests = std::move(was_open ? opening_ : waiters_);
    (was_open ? opening_ : waiters_).clear();
    for (PendingRequest* request : requests) request->Retry(why, /*handshaking=*/!was_open);
    pool_->ScheduleReap();
  }
  void NoteClosed() {
    if (pool_->metrics_.open != nullptr) pool_->metrics_.open->Add(-1);
  }
  void Uncount() {
    if (std::exchange(counted_, false)) pool_->count_->Remove();
  }
  void Unlist() {
    auto it = pool_->usable_.find(key_);
    if (it == pool_->usable_.end()) return;
    it->second.erase(std::remove(it->second.begin(), it->second.end(), this), it->second.end());
    if (it->second.empty()) pool_->usable_.erase(it);
  }

  TunnelPool* const pool_;  // Not owned.
  const Key key_;
  const absl::optional<SpiffeId> own_id_;
  const absl::Time own_not_after_;
  const absl::Duration created_;
  State state_ = State::kConnecting;
  bool counted_ = true;
  bool draining_ = false;
  size_t bulk_streams_ = 0;
  absl::Duration idle_since_ = absl::ZeroDuration();
  std::unique_ptr<TunnelDialer::Attempt> attempt_;
  std::unique_ptr<ConnectSession> session_;
  std::shared_ptr<const PeerInfo> peer_;
  absl::flat_hash_set<PendingRequest*> waiters_;  // Not owned.
  absl::flat_hash_set<PendingRequest*> opening_;  // Not owned.
  absl::flat_hash_set<PooledStream*> streams_;    // Not owned.
  // Idle eviction, then the deadline of a clean end.
  std::unique_ptr<EventLoop::Timer> timer_;
};

// Counts a stream's bytes for its tunnel.
class TunnelPool::PooledStream final : public ByteStream {
 public:
  PooledStream(Tunnel* tunnel, uint64_t bulk_bytes, std::unique_ptr<ConnectStream> stream)
      : tunnel_(tunnel), bulk_bytes_(bulk_bytes), stream_(std::move(stream)) {
    tunnel_->AddStream(this);
  }
  ~PooledStream() override {
    stream_.reset();
    tunnel_->RemoveStream(this, bulk_);
  }

  void SetObserver(Observer* observer) override { stream_->SetObserver(observer); }
  IoResult Read(absl::Span<uint8_t> buffer) override { return Count(stream_->Read(buffer)); }
  IoResult Write(absl::Span<const uint8_t> data) override { return Count(stream_->Write(data)); }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override { stream_->Reset(); }
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override { return stream_->Undelivered(); }
  absl::Status error() const override { return stream_->error(); }

 private:
  IoResult Count(IoResult result) {
    if (bulk_ || (result.status != IoStatus::kOk && result.status != IoStatus::kWouldBlock)) {
      return result;
    }
    bytes_ += result.bytes;
    if (bytes_ > bulk_bytes_) {
      bulk_ = true;
      tunnel_->NoteBulk();
    }
    return result;
  }

  Tunnel* const tunnel_;  // Not owned; lives until its streams are gone.
  const uint64_t bulk_bytes_;
  uint64_t bytes_ = 0;
  bool bulk_ = false;
  std::unique_ptr<ConnectStream> stream_;
};

void TunnelPool::Tunnel::OnDialed(absl::StatusOr<TunnelDialer::Transport> transport) {
  if (!transport.ok()) {
    Finish(transport.status());
    return;
  }
  auto peer = std::make_shared<PeerInfo>(
      PeerInfo{std::move(transport->peer), std::move(transport->session), own_id_, key_.generation,
               own_not_after_, std::move(transport->peer_chain), transport->dialled_at,
               pool_->loop_->Now(), ++pool_->made_});
  const Identity& now = *pool_->identity_;
  // The handshake was judged by the bundles it began with.
  if (now.generation != key_.generation && now.context != nullptr) {
    const absl::Status proven =
        CheckProven(now.context->identity().bundles(), *peer, pool_->loop_->WallNow());
    if (!proven.ok()) {
      Finish(proven);
      return;
    }
  }
  peer_ = std::move(peer);
  session_ = ConnectSession::CreateClient(pool_->loop_, std::move(transport->stream),
                                          pool_->options_.session, this);
  state_ = State::kOpen;
  if (pool_->metrics_.created != nullptr) pool_->metrics_.created->Increment();
  if (pool_->metrics_.open != nullptr) pool_->metrics_.open->Add(1);
  absl::flat_hash_set<PendingRequest*> waiters = std::move(waiters_);
  waiters_.clear();
  for (PendingRequest* request : waiters) request->StartStream();
  if (draining_) session_->Drain();
  if (opening_.empty()) StreamGone();
}

TunnelPool::TunnelView TunnelPool::Tunnel::View() const {
  TunnelView view;
  view.address = key_.address;
  if (peer_ != nullptr) {
    view.peer = peer_->peer.id.text();
    view.id = peer_->tunnel;
  }
  switch (state_) {
    case State::kConnecting:
      view.state = "connecting";
      break;
    case State::kOpen:
      view.state = draining_            ? "draining"
                   : session_->silent() ? "silent"
                   : bulk_streams_ > 0  ? "bulk"
                                        : "open";
      break;
    case State::kClosing:
    case State::kClosed:
      view.state = "closing";
      break;
  }
  view.streams = streams();
  view.age = pool_->loop_->Now() - created_;
  return view;
}

bool TunnelPool::PendingRequest::WaitsForHandshake() const {
  return tunnel_ != nullptr && tunnel_->WaitsForPeer();
}

TunnelPool::PendingRequest::~PendingRequest() {
  stream_.reset();
  Detach();
}

void TunnelPool::PendingRequest::Detach() {
  stream_.reset();
  Tunnel* tunnel = std::exchange(tunnel_, nullptr);
  if (tunnel != nullptr) tunnel->Remove(this);
}

void TunnelPool::PendingRequest::StartStream() {
  absl::StatusOr<std::unique_ptr<ConnectStream>> stream = tunnel_->session()->OpenStream(
      request_, [this](absl::Status status, int http_status, const HeaderList& headers) {
        OnResponse(std::move(status), http_status, headers);
      });
  if (!stream.ok()) {
    Detach();
    if (attempts_ < kMaxAttempts) {
      pool_->Assign(this, /*fresh=*/true);
    } else {
      Fail(stream.status());
    }
    return;
  }
  stream_ = *std::move(stream);
  tunnel_->AddOpening(this);
}

void TunnelPool::PendingRequest::OnResponse(absl::Status status, int http_status,
                                            const HeaderList& headers) {
  if (!status.ok()) {
    if (absl::IsDeadlineExceeded(status) && tunnel_->silent()) {
      // A new tunnel to the same peer would hardly do better, and whoever asks may know another.
      Fail(PeerSilent(status.message()));
    } else if (http_status == 0) {
      // No answer: the tunnel broke, or the peer refused the stream unprocessed
      // (RFC 9113 section 8.7).
      Retry(std::move(status), /*handshaking=*/false);
    } else {
      Fail(Refusal(status.code(), http_status, headers));
    }
    return;
  }
  Opened opened;
  opened.peer = tunnel_->peer();
  opened.stream_id = stream_->id();
  opened.stream =
      std::make_unique<PooledStream>(tunnel_, pool_->options_.bulk_bytes, std::move(stream_));
  Detach();
  Callback done = std::move(done_);
  done(std::move(opened));
}

void TunnelPool::PendingRequest::Retry(absl::Status why, bool handshaking) {
  // A handshake that was under way when either pod's agent was restarted fails
  // for that alone: the new agent cannot sign for the leaf of the old one. Here
  // the identity was replaced meanwhile; of the peer only its end of the
  // connection is seen.
  const bool outdated = tunnel_ != nullptr && pool_->identity_.has_value() &&
                        tunnel_->key().generation != pool_->identity_->generation;
  const bool ended_by_peer = handshaking && absl::IsUnavailable(why);
  const bool not_processed = absl::IsAborted(why);
  Detach();
  const bool once_more = !retried_ && (!fresh_ || ended_by_peer);
  if (attempts_ >= kMaxAttempts || (!outdated && !not_processed && !once_more)) {
    Fail(not_processed ? absl::UnavailableError(why.message()) : std::move(why));
    return;
  }
  // Neither uses up the one more try after a broken tunnel.
  retried_ = retried_ || !(outdated || not_processed);
  // Those who waited together do so again; a pooled tunnel that broke may have
  // broken companions.
  pool_->Assign(this, /*fresh=*/!fresh_);
}

TunnelPool::TunnelPool(EventLoop* loop, TunnelDialer* dialer, const Options& options,
                       const Metrics& metrics)
    : loop_(loop),
      dialer_(dialer),
      options_(options),
      count_(options.count != nullptr ? options.count : &own_count_),
      metrics_(metrics),
      reap_(loop->NewDeferred([this] { Reap(); })) {}

TunnelPool::~TunnelPool() = default;

void TunnelPool::SetIdentity(Identity identity) {
  const bool replaced = identity_.has_value() && identity_->generation != identity.generation;
  identity_ = std::move(identity);
  if (!replaced) return;
  if (options_.expiry == IdentityExpiry::kStrict) {
    for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
      if (tunnel->open()) tunnel->Close();
    }
  }
  DrainAll();
}

void TunnelPool::SetPolicyEpoch(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  DrainAll();
}

void TunnelPool::DrainAll() {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) tunnel->Drain();
}

std::unique_ptr<TunnelPool::Request> TunnelPool::Open(TunnelTarget target, ConnectRequest request,
                                                      Callback done) {
  auto pending = std::make_unique<PendingRequest>(this, std::move(target), std::move(request),
                                                  std::move(done));
  Assign(pending.get(), /*fresh=*/false);
  return pending;
}

void TunnelPool::Assign(PendingRequest* request, bool fresh) {
  if (!identity_.has_value()) {
    request->Fail(absl::FailedPreconditionError("no identity yet"));
    return;
  }
  absl::Status valid =
      CheckOwnValidity(identity_->not_before, identity_->not_after, loop_->WallNow());
  if (!valid.ok()) {
    request->Fail(std::move(valid));
    return;
  }
  const TunnelTarget& target = request->target();
  if (target.allowed_peers.empty()) {
    request->Fail(absl::InternalError("no identity is allowed at the end of the tunnel"));
    return;
  }
  Key key{target.address, target.allowed_peers, identity_->generation, epoch_};
  const absl::StatusOr<Tunnel*> tunnel = TunnelFor(target, std::move(key), fresh);
  if (!tunnel.ok()) {
    request->Fail(tunnel.status());
    return;
  }
  request->set_tunnel(*tunnel, (*tunnel)->connecting());
  if ((*tunnel)->connecting()) {
    (*tunnel)->AddWaiter(request);
  } else {
    request->StartStream();
  }
}

absl::StatusOr<TunnelPool::Tunnel*> TunnelPool::TunnelFor(const TunnelTarget& target, Key key,
                                                          bool fresh) {
  Tunnel* const usable = fresh ? nullptr : FindUsable(key);
  if (usable != nullptr) return usable;
  const auto siblings = usable_.find(key);
  if (siblings != usable_.end() && siblings->second.size() >= options_.max_tunnels_per_key) {
    Tunnel* const shared = FindShared(siblings->second);
    if (shared != nullptr) return shared;
    for (const Tunnel* tunnel : siblings->second) {
      if (tunnel->silent()) return PeerSilent("tunnels to the peer are silent, the others full");
    }
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat("all ", options_.max_tunnels_per_key, " tunnels to ",
                                       target.address.ToString(), " are full")),
                      tunnel_reason::kStreamLimit);
  }
  while (!count_->TryAdd(options_.max_tunnels)) {
    if (CloseLongestIdle()) continue;
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat(options_.max_tunnels, " tunnels are open and none is idle")),
                      tunnel_reason::kTunnelLimit);
  }
  return NewTunnel(target, std::move(key));
}

TunnelPool::Tunnel* TunnelPool::FindUsable(const Key& key) const {
  auto it = usable_.find(key);
  if (it == usable_.end()) return nullptr;
  // What the peer said on one tunnel holds for the next before it says so
  // again.
  size_t peer_limit = options_.max_streams_per_tunnel;
  for (Tunnel* tunnel : it->second) {
    if (tunnel->open()) peer_limit = std::min(peer_limit, tunnel->session()->stream_limit());
  }
  for (Tunnel* tunnel : it->second) {
    if (tunnel->usable(std::max<size_t>(1, peer_limit))) return tunnel;
  }
  return nullptr;
}

TunnelPool::Tunnel* TunnelPool::FindShared(const std::vector<Tunnel*>& tunnels) const {
  Tunnel* least = nullptr;
  for (Tunnel* tunnel : tunnels) {
    if (!tunnel->has_room(options_.max_streams_per_tunnel)) continue;
    if (least == nullptr || tunnel->streams() < least->streams()) least = tunnel;
  }
  return least;
}

bool TunnelPool::CloseLongestIdle() {
  Tunnel* longest = nullptr;
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (!tunnel->idle()) continue;
    if (longest == nullptr || tunnel->idle_since() < longest->idle_since()) longest = tunnel.get();
  }
  if (longest == nullptr) return false;
  longest->Close();
  return true;
}

TunnelPool::Tunnel* TunnelPool::NewTunnel(const TunnelTarget& target, Key key) {
  tunnels_.push_back(std::make_unique<Tunnel>(this, std::move(key), target));
  Tunnel* tunnel = tunnels_.back().get();
  usable_[tunnel->key()].push_back(tunnel);
  return tunnel;
}

void TunnelPool::CloseExpired(absl::Time now) {
  if (options_.expiry == IdentityExpiry::kKeep) return;
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (tunnel->open() && tunnel->peer()->not_after() <= now) tunnel->Close();
  }
}

void TunnelPool::CloseUnless(absl::AnyInvocable<bool(const PeerInfo& peer)> keep) {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (tunnel->open() && !keep(*tunnel->peer())) tunnel->Close();
  }
}

std::vector<TunnelPool::TunnelView> TunnelPool::View() const {
  std::vector<TunnelView> views;
  views.reserve(tunnels_.size());
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) views.push_back(tunnel->View());
  return views;
}

void TunnelPool::Reap() {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) tunnel->MaybeCloseIdle();
  tunnels_.erase(
      std::remove_if(tunnels_.begin(), tunnels_.end(),
                     [](const std::unique_ptr<Tunnel>& tunnel) { return tunnel->finished(); }),
      tunnels_.end());
}

}  // namespace byrnie
