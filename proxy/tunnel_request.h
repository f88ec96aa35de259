#ifndef BYRNIE_PROXY_TUNNEL_REQUEST_H_
#define BYRNIE_PROXY_TUNNEL_REQUEST_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/event/event_loop.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

// One question to a TunnelPool: waits for a tunnel, then for the answer on it, and goes to another
// where that can help. It belongs to who asked. Of TunnelPool alone.
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
  void set_on_leaving(absl::AnyInvocable<void()> leaving) override {
    on_leaving_ = std::move(leaving);
  }
  void OnLeaving() {
    if (on_leaving_ != nullptr) on_leaving_();
  }

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
  absl::AnyInvocable<void()> on_leaving_;
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

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_REQUEST_H_
