#ifndef BYRNIE_COMMON_HTTP2_HTTP2_CALL_H_
#define BYRNIE_COMMON_HTTP2_HTTP2_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// One POST over an HTTP/2 connection of its own, whose server is known to speak that (RFC 9113
// section 3.3), as a gRPC client makes a call with one message; nghttp2 is fenced in the .cc. Lives
// on one loop. States: under way → done. It has no deadline of its own.
class Http2Call final : public ByteStream::Observer {
 public:
  // Of the answer, its head and its trailers together, and its body.
  static constexpr size_t kMaxHeaders = 16 * 1024;
  static constexpr size_t kMaxBody = 16 * 1024;

  struct Request {
    std::string authority, path;
    HeaderList headers;
    std::string body;
  };
  struct Answer {
    int status = 0;
    // Of the head, then of the trailers.
    HeaderList headers;
    std::string body;

    // The first of that name; "" where there is none.
    absl::string_view Header(absl::string_view name) const;
  };
  // Unavailable: the connection broke or was ended before the answer was whole; ResourceExhausted:
  // an answer beyond the limits; InvalidArgument: no HTTP/2.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<Answer>)>;

  // `done` runs once, in a later turn, and must not destroy this.
  Http2Call(EventLoop* loop, std::unique_ptr<ByteStream> stream, const Request& request,
            Callback done);
  Http2Call(const Http2Call&) = delete;
  Http2Call& operator=(const Http2Call&) = delete;
  ~Http2Call() override;

  void OnReadable() override { Run(); }
  void OnWritable() override { Run(); }

 private:
  class Protocol;

  void Run();
  // Each true while there is more to do.
  bool WriteSome();
  bool ReadSome();
  void Finish(absl::Status status);

  const std::unique_ptr<ByteStream> stream_;
  const std::unique_ptr<EventLoop::Deferred> resume_;
  std::unique_ptr<Protocol> protocol_;
  Callback done_;
  std::string output_;
  size_t sent_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_HTTP2_CALL_H_
