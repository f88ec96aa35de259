#ifndef BYRNIE_PROXY_POOLED_TUNNEL_H_
#define BYRNIE_PROXY_POOLED_TUNNEL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

// One tunnel of a TunnelPool, from the dial on: connecting, open, then closing and closed. It
// belongs to the pool, which buries it when it is closed and everybody has left it. Of TunnelPool
// alone.
class TunnelPool::Tunnel final : public ConnectSession::Delegate {
 public:
  Tunnel(TunnelPool* pool, Key key, const TunnelTarget& target);
  ~Tunnel() override;

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

  // While connecting: `*done` hears how that ends. False, and untouched, where somebody does.
  bool set_on_dialled(absl::AnyInvocable<void(absl::Status)>* done) {
    if (on_dialled_ != nullptr) return false;
    on_dialled_ = std::move(*done);
    return true;
  }
  // It is one more than there may be: it ends when it has served those who wait for its handshake.
  void set_past_limit() { past_limit_ = true; }
  void AddWaiter(PendingRequest* request) { waiters_.insert(request); }
  // That the peer they wait for is leaving.
  void TellWaiters();
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
  void Drain();
  // Ends now, whatever is open.
  void Close();
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
  void OnGoaway() override;
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status& status) override;
  void OnTimer();
  void StreamGone();
  void Finish(absl::Status why);
  void TellDialled(const absl::Status& how);
  void NoteClosed() {
    if (pool_->metrics_.open != nullptr) pool_->metrics_.open->Add(-1);
  }
  void Uncount() {
    if (std::exchange(counted_, false)) pool_->count_->Remove();
  }
  void Unlist();

  TunnelPool* const pool_;  // Not owned.
  const Key key_;
  const absl::optional<SpiffeId> own_id_;
  const absl::Time own_not_after_;
  const absl::Duration created_;
  State state_ = State::kConnecting;
  bool counted_ = true;
  bool draining_ = false;
  bool past_limit_ = false;
  size_t bulk_streams_ = 0;
  absl::Duration idle_since_ = absl::ZeroDuration();
  std::unique_ptr<TunnelDialer::Attempt> attempt_;
  std::unique_ptr<ConnectSession> session_;
  std::shared_ptr<const PeerInfo> peer_;
  absl::AnyInvocable<void(absl::Status)> on_dialled_;
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
  absl::Span<const absl::Span<const uint8_t>> Peek() const override { return stream_->Peek(); }
  void Skip(size_t bytes) override {
    stream_->Skip(bytes);
    Count({bytes, IoStatus::kOk});
  }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override { stream_->Reset(); }
  void ResetWith(uint32_t code) override { stream_->ResetWith(code); }
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override { return stream_->Undelivered(); }
  size_t Room() const override { return stream_->Room(); }
  absl::Duration Unheard() const override { return stream_->Unheard(); }
  void ShortenKeepalive() override { stream_->ShortenKeepalive(); }
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

}  // namespace byrnie

#endif  // BYRNIE_PROXY_POOLED_TUNNEL_H_
