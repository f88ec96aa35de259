#ifndef BYRNIE_COMMON_GRPC_PUSH_STREAM_H_
#define BYRNIE_COMMON_GRPC_PUSH_STREAM_H_

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/grpc/live_stream.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace byrnie {

// The writing half of a stream over gRPC's callback API: writes what its subclass has to say, one
// message at a time, so that a reader who is slow holds at most one and then gets the newest. No
// thread waits for it. `Reactor` is the library's, `Base` a LiveStream. Owned by its StreamOwner;
// gone after the library's OnDone.
template <typename Reactor, typename Response, typename Base = LiveStream>
class PushWriter : public Reactor, public Base {
 public:
  // `base` are the arguments of Base.
  template <typename... Args>
  PushWriter(grpc::CallbackServerContext* context, StreamOwner* owner, Args&&... base)
      : Base(std::forward<Args>(base)...), context_(context), owner_(owner) {}

  // Begins to write; called once, after the owner has the stream.
  void Start() {
    absl::MutexLock lock(&mu_);
    if (ending_) return;
    OnStart();
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

  absl::optional<uint64_t> WaitingForReader() override {
    absl::MutexLock lock(&mu_);
    if (!writing_ && (ending_ || !ReaderOwesAnswer())) return absl::nullopt;
    return taken_;
  }

 protected:
  // The next message to write; absent when there is none now. Under the stream's lock, like the
  // others.
  virtual absl::optional<Response> NextResponse() = 0;
  // Whether nothing is written because the reader has not answered what it was sent.
  virtual bool ReaderOwesAnswer() const { return false; }
  virtual void OnStart() {}
  virtual void OnWake() {}
  // What is still to be written before the end; asked for until there is nothing.
  virtual absl::optional<Response> LastResponse() { return absl::nullopt; }
  // The library has the message's bytes: a place to wipe the message.
  virtual void OnWritten(Response*) {}

  void MaybeWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || ending_) return;
    absl::optional<Response> response = NextResponse();
    if (response.has_value()) Write(*std::move(response));
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
    if (!writing_) FinishAfterLast();
  }

  bool ending() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return ending_; }

  absl::Mutex mu_;

 private:
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    ++taken_;
    OnWritten(&response_);
    if (ending_ && ok) {
      FinishAfterLast();
    } else if (ending_) {
      FinishNow();
    } else if (!ok) {
      MaybeFinish(absl::UnavailableError("the stream is broken"));
    } else {
      MaybeWrite();
    }
  }

  void OnCancel() override { End(absl::CancelledError("the caller is gone")); }
  void OnDone() override { owner_->Remove(this); }  // Destroys this.
  void Write(Response response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    response_ = std::move(response);
    writing_ = true;
    this->StartWrite(&response_);
  }
  void FinishAfterLast() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    absl::optional<Response> last = LastResponse();
    if (last.has_value()) {
      Write(*std::move(last));
    } else {
      FinishNow();
    }
  }
  void FinishNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { this->Finish(ToGrpcStatus(status_)); }

  grpc::CallbackServerContext* const context_;  // Not owned: the library's, until OnDone.
  StreamOwner* const owner_;                    // Not owned.
  Response response_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  // Messages the library has got rid of.
  uint64_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

// A PushWriter whose client sends as well: takes requests as they come.
template <typename Request, typename Response, typename Base = LiveStream>
class PushStream : public PushWriter<grpc::ServerBidiReactor<Request, Response>, Response, Base> {
 public:
  using PushWriter<grpc::ServerBidiReactor<Request, Response>, Response, Base>::PushWriter;

 protected:
  // Takes in one request; an error ends the stream with it. Under the stream's lock.
  virtual absl::Status OnRequest(const Request& request) = 0;

 private:
  void OnStart() override { this->StartRead(&request_); }

  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&this->mu_);
    if (!ok) {  // The client is done or gone.
      this->MaybeFinish(absl::OkStatus());
      return;
    }
    if (this->ending()) return;
    const absl::Status status = OnRequest(request_);
    if (!status.ok()) {
      this->MaybeFinish(status);
      return;
    }
    this->MaybeWrite();
    this->StartRead(&request_);
  }

  Request request_;  // Guarded by mu_.
};

// A stream that was refused before it began.
template <typename Reactor>
class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }

 private:
  // The library's pattern for a reactor nobody else knows.
  void OnDone() override { delete this; }
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_PUSH_STREAM_H_
