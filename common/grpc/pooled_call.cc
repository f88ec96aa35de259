#include "common/grpc/pooled_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/retry_after.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/status_conversion.h"

namespace byrnie {
namespace {

class PooledCall final : public grpc::ServerUnaryReactor {
 public:
  PooledCall(grpc::CallbackServerContext* context, absl::AnyInvocable<grpc::Status()> work)
      : context_(context), work_(std::move(work)) {}

  void StartOn(ThreadPool* pool) {
    pool->Run(PeerSource(context_->peer()),
              {[this] { Answer(); }, [this, pool] { Finish(ToGrpcStatus(TooManyCalls(*pool))); }});
  }

 private:
  void Answer() {
    if (context_->IsCancelled()) {
      Finish(grpc::Status::CANCELLED);
    } else {
      Finish(work_());
    }
  }
  // The library's pattern for a reactor nobody else knows.
  void OnDone() override { delete this; }

  grpc::CallbackServerContext* const context_;  // Not owned: the library's, until OnDone.
  absl::AnyInvocable<grpc::Status()> work_;
};

}  // namespace

absl::Status TooManyCalls(const ThreadPool& pool) {
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat(pool.max_waiting(), " calls wait for their turn; try again"));
  SetRetryAfter(&status, absl::Seconds(1));
  return status;
}

grpc::ServerUnaryReactor* AnswerOn(ThreadPool* pool, grpc::CallbackServerContext* context,
                                   absl::AnyInvocable<grpc::Status()> work) {
  auto* const call = new PooledCall(context, std::move(work));
  call->StartOn(pool);
  return call;
}

}  // namespace byrnie
