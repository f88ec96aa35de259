#ifndef BYRNIE_COMMON_HTTP_HTTP_CLIENT_CONNECTION_H_
#define BYRNIE_COMMON_HTTP_HTTP_CLIENT_CONNECTION_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/http/http_response_parser.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// One client-side HTTP/1.1 connection over any ByteStream: one request, its response, then perhaps
// the next. Lives on one loop.
//
// States: idle → busy (a request is under way) → idle again, or done (broken, or its server wants
// no more of it). Between requests it ends in order, without a reset that would be an error to the
// server. It
// is never destroyed inside a call of its own handlers: Post or defer that.
class HttpClientConnection final : public ByteStream::Observer {
 public:
  struct Limits {
    // Until the whole response has come.
    absl::Duration timeout = absl::Seconds(30);
    // Until its head has.
    absl::Duration head_timeout = absl::Seconds(15);
    // Of the body, where it is kept.
    size_t max_body = 1024 * 1024;
    // The body is thrown away, whatever the status; when max_body of it has come the response
    // counts as whole, and the connection is done.
    bool discard_body = false;
  };
  struct Response {
    HttpResponseHead head;
    std::string body;
  };
  struct Handlers {
    // Given the body of a 2xx response as it comes, which is then not in Response. Empty: it is
    // kept.
    absl::AnyInvocable<void(absl::string_view bytes)> on_data;
    // Once. Unavailable: the connection broke or nothing came in time; DataLoss: within a body that
    // was given to on_data; ResourceExhausted: a body beyond max_body; InvalidArgument: no HTTP.
    absl::AnyInvocable<void(absl::StatusOr<Response>)> on_done;
  };

  HttpClientConnection(EventLoop* loop, std::unique_ptr<ByteStream> stream);
  HttpClientConnection(const HttpClientConnection&) = delete;
  HttpClientConnection& operator=(const HttpClientConnection&) = delete;
  ~HttpClientConnection() override;

  // Sends a request, head and body as they go over the wire. Only while idle(). No handler runs in
  // this call.
  void Send(std::string request, const Limits& limits, Handlers handlers);
  // Lets go of the handlers of a request under way: none of them runs any more. The connection is
  // done.
  void Abandon();

  bool idle() const { return state_ == State::kIdle; }
  // Bytes of a response have come since the last Send.
  bool has_response() const { return has_response_; }

  void OnReadable() override { Run(); }
  void OnWritable() override { Run(); }

 private:
  enum class State { kIdle, kBusy, kDone };

  void Run();
  // Each true while there is more to do.
  bool WriteSome();
  bool ReadSome();
  void OnBytes();
  void OnEnd();
  bool KeepBody();
  void Finish(absl::Status status);

  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<EventLoop::Deferred> resume_;
  std::unique_ptr<EventLoop::Timer> timeout_;
  std::unique_ptr<EventLoop::Timer> head_timeout_;

  State state_ = State::kIdle;
  Limits limits_;
  Handlers handlers_;
  std::string output_;
  size_t sent_ = 0;
  std::string input_;
  std::unique_ptr<HttpResponseParser> parser_;
  std::string body_;
  size_t discarded_ = 0;
  bool has_response_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_CLIENT_CONNECTION_H_
