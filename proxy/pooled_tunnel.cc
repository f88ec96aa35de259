#include "proxy/pooled_tunnel.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/identity/identity_snapshot.h"
#include "proxy/trust_change.h"
#include "proxy/tunnel_request.h"

namespace byrnie {
namespace {

// A clean end of a tunnel that the peer does not read is given up after this.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);

}  // namespace

TunnelPool::Tunnel::Tunnel(TunnelPool* pool, Key key, const TunnelTarget& target)
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

TunnelPool::Tunnel::~Tunnel() {
  DCHECK(waiters_.empty() && opening_.empty() && streams_.empty());
  if (state_ == State::kOpen || state_ == State::kClosing) NoteClosed();
  Uncount();
}

void TunnelPool::Tunnel::TellWaiters() {
  for (PendingRequest* request : waiters_) request->OnLeaving();
}

void TunnelPool::Tunnel::OnGoaway() {
  // Not where it answers a GOAWAY of this side, nor for a new certificate of the peer.
  if (!draining_ && !session_->peer_stays()) pool_->NoteLeaving(key_.address.ip());
  Drain();
}

void TunnelPool::Tunnel::Drain() {
  if (draining_) return;
  draining_ = true;
  Unlist();
  if (session_ != nullptr) session_->Drain();
  pool_->ScheduleReap();
}

void TunnelPool::Tunnel::Close() {
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
  if (pool_->options_.proofs != nullptr && now.context != nullptr) {
    pool_->options_.proofs->Record(key_.address, now.context->identity(), pool_->loop_->WallNow(),
                                   peer.get());
  }
  peer_ = std::move(peer);
  session_ = ConnectSession::CreateClient(pool_->loop_, std::move(transport->stream),
                                          pool_->options_.session, this);
  state_ = State::kOpen;
  pool_->leaving_.erase(key_.address.ip());
  if (pool_->metrics_.created != nullptr) pool_->metrics_.created->Increment();
  if (pool_->metrics_.open != nullptr) pool_->metrics_.open->Add(1);
  absl::flat_hash_set<PendingRequest*> waiters = std::move(waiters_);
  waiters_.clear();
  TellDialled(absl::OkStatus());
  for (PendingRequest* request : waiters) request->StartStream();
  if (draining_) session_->Drain();
  if (past_limit_ || transport->past_limit) Drain();
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

void TunnelPool::Tunnel::OnSessionClosed(const absl::Status& status) {
  if (pool_->on_session_end_ != nullptr) pool_->on_session_end_(key_.address, *peer_, status);
  Finish(status.ok() ? absl::UnavailableError("the tunnel was closed by the peer") : status);
}

void TunnelPool::Tunnel::OnTimer() {
  if (state_ == State::kClosing) {
    Finish(absl::UnavailableError("the tunnel was closed"));
  } else if (state_ == State::kOpen && opening_.empty() && streams_.empty()) {
    Close();
  }
}

void TunnelPool::Tunnel::StreamGone() {
  if (!opening_.empty() || !streams_.empty()) return;
  idle_since_ = pool_->loop_->Now();
  if (state_ == State::kOpen && !draining_) timer_->Schedule(pool_->options_.idle_timeout);
  pool_->ScheduleReap();
}

void TunnelPool::Tunnel::Finish(absl::Status why) {
  if (state_ == State::kClosed) return;
  if (state_ != State::kConnecting) NoteClosed();
  TellDialled(why);
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

void TunnelPool::Tunnel::TellDialled(const absl::Status& how) {
  auto done = std::exchange(on_dialled_, nullptr);
  if (done != nullptr) done(how);
}

void TunnelPool::Tunnel::Unlist() {
  auto it = pool_->usable_.find(key_);
  if (it == pool_->usable_.end()) return;
  it->second.erase(std::remove(it->second.begin(), it->second.end(), this), it->second.end());
  if (it->second.empty()) pool_->usable_.erase(it);
}

}  // namespace byrnie
