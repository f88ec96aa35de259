#ifndef BYRNIE_CERTAGENT_GRPC_UNARY_CALL_H_
#define BYRNIE_CERTAGENT_GRPC_UNARY_CALL_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/event/event_loop.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace byrnie {

// One unary call over gRPC, for whoever lives on a loop. The call runs on gRPC's threads, which
// only post to the loop. Destroying it cancels the call and its callback; also inside the callback.
template <typename Request, typename Response>
class GrpcUnaryCall {
 public:
  // Runs once, in a later turn.
  using Done = absl::AnyInvocable<void(absl::Status, const Response&)>;
  // Begins the call: stub->async()->Method(context, request, response, done). What it captures,
  // such as the stub, lives as long as the call.
  using Starter = absl::AnyInvocable<void(grpc::ClientContext*, const Request*, Response*,
                                          std::function<void(grpc::Status)>)>;

  GrpcUnaryCall(EventLoop* loop, Done done) : state_(std::make_shared<State>()) {
    state_->loop = loop;
    state_->done = std::move(done);
  }
  GrpcUnaryCall(const GrpcUnaryCall&) = delete;
  GrpcUnaryCall& operator=(const GrpcUnaryCall&) = delete;
  ~GrpcUnaryCall() {
    {
      absl::MutexLock lock(&state_->mutex);
      state_->abandoned = true;
    }
    state_->context.TryCancel();
  }

  // To be filled before Start.
  grpc::ClientContext* context() { return &state_->context; }
  Request* request() { return &state_->request; }

  // One of the two, once.
  void Start(Starter starter) {
    state_->starter = std::move(starter);
    state_->starter(&state_->context, &state_->request, &state_->response,
                    [state = state_](grpc::Status status) {
                      Report(state, FromGrpcCall(status, state->context));
                    });
  }
  // What failed before the network was reached is reported as a failed call is.
  void Fail(absl::Status why) { Report(state_, std::move(why)); }

 private:
  // Shared with gRPC's thread until the call is over.
  struct State {
    EventLoop* loop;
    Starter starter;
    grpc::ClientContext context;
    Request request;
    Response response;
    Done done;  // The loop's.
    absl::Mutex mutex;
    bool abandoned ABSL_GUARDED_BY(mutex) = false;  // The loop may be gone, too.
  };

  static void Report(const std::shared_ptr<State>& state, absl::Status status) {
    absl::MutexLock lock(&state->mutex);
    if (state->abandoned) return;
    state->loop->Post([state, status = std::move(status)] {
      {
        absl::MutexLock lock(&state->mutex);
        if (state->abandoned) return;
      }
      state->done(status, state->response);
    });
  }

  const std::shared_ptr<State> state_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_GRPC_UNARY_CALL_H_
