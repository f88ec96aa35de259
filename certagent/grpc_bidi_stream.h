#ifndef BYRNIE_CERTAGENT_GRPC_BIDI_STREAM_H_
#define BYRNIE_CERTAGENT_GRPC_BIDI_STREAM_H_

#include <deque>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "certagent/bidi_stream.h"
#include "common/event/event_loop.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace byrnie {

// A BidiStream over gRPC. The call runs on gRPC's threads, which only post to the loop; a message
// is read when the one before has been handled, so a slow loop slows the sender and nothing piles
// up.
template <typename Request, typename Response>
class GrpcBidiStream final : public BidiStream<Request, Response> {
 public:
  using typename BidiStream<Request, Response>::Callbacks;
  using Reactor = grpc::ClientBidiReactor<Request, Response>;
  // Begins the call: stub->async()->Method(context, reactor). What it captures, such as the stub,
  // lives as long as the call.
  using Starter = absl::AnyInvocable<void(grpc::ClientContext*, Reactor*)>;

  GrpcBidiStream(EventLoop* loop, Starter starter, Callbacks callbacks)
      : state_(std::make_shared<State>(std::move(callbacks))),
        call_(new Call(loop, state_, std::move(starter))) {
    call_->Begin();
  }
  GrpcBidiStream(const GrpcBidiStream&) = delete;
  GrpcBidiStream& operator=(const GrpcBidiStream&) = delete;
  ~GrpcBidiStream() override {
    state_->alive = false;
    // A stream that has closed has no call any more.
    if (!state_->closed) call_->Abandon();
  }

  void Send(Request request) override {
    if (!state_->closed) call_->Send(std::move(request));
  }

 private:
  class Call;

  // Shared with tasks on the loop; touched there only.
  struct State {
    explicit State(Callbacks callbacks) : callbacks(std::move(callbacks)) {}
    Callbacks callbacks;
    bool alive = true;
    bool closed = false;
  };

  // Lives until gRPC has said that the call is over and the loop, where it still cares, has handled
  // that.
  class Call final : public Reactor {
   public:
    Call(EventLoop* loop, std::weak_ptr<State> state, Starter starter)
        : loop_(loop), state_(std::move(state)), starter_(std::move(starter)) {}

    void Begin() {
      starter_(&context_, this);
      // Reads and writes are started from the loop, outside of gRPC's callbacks: the hold keeps the
      // call until Finish, however the peer ends it.
      this->AddHold();
      reading_ = true;
      this->StartRead(&response_);
      this->StartCall();
    }

    // The methods of the loop.

    void Send(Request request) {
      absl::MutexLock lock(mutex_.get());
      if (finished_) return;
      queue_.push_back(std::move(request));
      if (queue_.size() == 1) this->StartWrite(&queue_.front());
    }

    void ReadNext() {
      absl::MutexLock lock(mutex_.get());
      if (finished_) return;
      reading_ = true;
      response_.Clear();
      this->StartRead(&response_);
    }

    void Abandon() {
      // The lock outlives this, which gRPC's thread may delete as soon as it is free.
      const std::shared_ptr<absl::Mutex> mutex = mutex_;
      bool release = false;
      {
        absl::MutexLock lock(mutex.get());
        abandoned_ = true;
        // Nothing holds a finished call: it may be gone once the lock is.
        if (finished_) return;
        // Without a hold of its own the cancellation could end and delete the call that it is in.
        this->AddHold();
        // A read under way ends through the cancellation and finishes the call; without one nobody
        // else would.
        if (!reading_) release = finished_ = true;
      }
      context_.TryCancel();
      if (release) this->RemoveHold();
      // May delete this.
      this->RemoveHold();
    }

    // The methods of gRPC's threads.

    void OnReadDone(bool ok) override {
      bool release = false;
      {
        absl::MutexLock lock(mutex_.get());
        reading_ = false;
        if (!ok || abandoned_) {
          release = !finished_;
          finished_ = true;
        } else {
          loop_->Post([this, state = state_, response = std::move(response_)]() mutable {
            std::shared_ptr<State> alive = state.lock();
            if (alive == nullptr || !alive->alive) return;
            alive->callbacks.on_message(std::move(response));
            if (alive->alive) ReadNext();
          });
        }
      }
      if (release) this->RemoveHold();
    }

    void OnWriteDone(bool ok) override {
      absl::MutexLock lock(mutex_.get());
      queue_.pop_front();
      if (ok && !finished_ && !queue_.empty()) this->StartWrite(&queue_.front());
    }

    void OnDone(const grpc::Status& status) override {
      // The lock outlives this: as soon as the task is posted the loop may delete the call.
      const std::shared_ptr<absl::Mutex> mutex = mutex_;
      std::unique_ptr<Call> self(this);
      absl::MutexLock lock(mutex.get());
      if (abandoned_) return;
      // The task owns the call, which tasks posted before it still use.
      loop_->Post([self = std::move(self), why = FromGrpcStatus(status)]() mutable {
        std::shared_ptr<State> alive = self->state_.lock();
        if (alive == nullptr || !alive->alive) return;
        alive->closed = true;
        self.reset();
        auto on_closed = std::move(alive->callbacks.on_closed);
        on_closed(std::move(why));
      });
    }

   private:
    EventLoop* const loop_;  // Not owned.
    const std::weak_ptr<State> state_;
    Starter starter_;
    grpc::ClientContext context_;
    Response response_;  // Of the read under way.
    const std::shared_ptr<absl::Mutex> mutex_ = std::make_shared<absl::Mutex>();
    // Guarded by *mutex_.
    std::deque<Request> queue_;  // The front one is being written.
    bool reading_ = false;
    bool finished_ = false;   // Nothing may be started any more.
    bool abandoned_ = false;  // The loop does not want to hear of it.
  };

  const std::shared_ptr<State> state_;
  Call* const call_;  // Owns itself.
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_GRPC_BIDI_STREAM_H_
