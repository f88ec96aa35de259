#ifndef BYRNIE_CONTROLPLANE_STREAM_PUSH_STREAM_H_
#define BYRNIE_CONTROLPLANE_STREAM_PUSH_STREAM_H_

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/stream/stream_set.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace byrnie {

// A bidirectional stream over gRPC's callback API: takes requests as they come and writes what its
// subclass has to say, one message at a time, so that a reader who is slow holds at most one. No
// thread waits for it. Owned by its StreamSet; gone after the library's OnDone.
template <typename Request, typename Response>
class PushStream : public grpc::ServerBidiReactor<Request, Response>, public LiveStream {
 public:
  PushStream(grpc::CallbackServerContext* context, StreamSet* set,
             absl::optional<PeerIdentity> peer)
      : LiveStream(std::move(peer), PeerAddress(context->peer())), context_(context), set_(set) {}

  // Begins to read and write; called once, after the set has the stream.
  void Start() {
    absl::MutexLock lock(&mu_);
    if (ending_) return;
    this->StartRead(&request_);
    MaybeWrite();
  }

  void Wake() override {
    absl::MutexLock lock(&mu_);
    OnWake();
    MaybeWrite();
  }

  void End(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    MaybeFinish(status);
  }

 protected:
  // Takes in one request; an error ends the stream with it. Under the stream's lock, like the other
  // two.
  virtual absl::Status OnRequest(const Request& request) = 0;
  // The next message to write; absent when there is none now.
  virtual absl::optional<Response> NextResponse() = 0;
  virtual void OnWake() {}

 private:
  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    if (!ok) {  // The client is done or gone.
      MaybeFinish(absl::OkStatus());
      return;
    }
    if (ending_) return;
    const absl::Status status = OnRequest(request_);
    if (!status.ok()) {
      MaybeFinish(status);
      return;
    }
    MaybeWrite();
    this->StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (ending_) {
      FinishNow();
    } else if (!ok) {
      MaybeFinish(absl::UnavailableError("the stream is broken"));
    } else {
      MaybeWrite();
    }
  }

  void OnCancel() override { End(absl::CancelledError("the caller is gone")); }
  void OnDone() override { set_->Remove(this); }  // Destroys this.

  void MaybeWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || ending_) return;
    absl::optional<Response> response = NextResponse();
    if (!response.has_value()) return;
    response_ = *std::move(response);
    writing_ = true;
    this->StartWrite(&response_);
  }

  // The status of the first call counts. The library wants no Finish() while a write is going on,
  // so that comes first; a second call means that the first had time enough and nobody reads.
  void MaybeFinish(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ending_) {
      if (writing_) context_->TryCancel();
      return;
    }
    ending_ = true;
    status_ = status;
    if (!writing_) FinishNow();
  }
  void FinishNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { this->Finish(ToGrpcStatus(status_)); }

  grpc::CallbackServerContext* const context_;  // Not owned: the library's, until OnDone.
  StreamSet* const set_;                        // Not owned.
  absl::Mutex mu_;
  Request request_ ABSL_GUARDED_BY(mu_);
  Response response_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

// A stream that was refused before it began.
template <typename Request, typename Response>
class RefusedStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }

 private:
  // The library's pattern for a reactor nobody else knows.
  void OnDone() override { delete this; }
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_PUSH_STREAM_H_
