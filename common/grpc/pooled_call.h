#ifndef BYRNIE_COMMON_GRPC_POOLED_CALL_H_
#define BYRNIE_COMMON_GRPC_POOLED_CALL_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/base/thread_pool.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "grpcpp/support/status.h"

namespace byrnie {

// ResourceExhausted, with a RetryAfter of a second: too many calls wait for a thread of the pool.
absl::Status TooManyCalls(const ThreadPool& pool);

// Answers a unary call of gRPC's callback API with what `work` says on one of the pool's threads,
// where the callers' addresses take turns (PeerSource); with TooManyCalls when too much waits for
// them. Unlike a call of the synchronous API, one whose caller does not read its answer holds no
// thread: only the answer, and what `work` holds, which is destroyed when the library is done with
// the call. Work whose caller has gone before its turn does not run. The pool outlives the server's
// calls.
grpc::ServerUnaryReactor* AnswerOn(ThreadPool* pool, grpc::CallbackServerContext* context,
                                   absl::AnyInvocable<grpc::Status()> work);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_POOLED_CALL_H_
