#ifndef BYRNIE_COMMON_HTTP2_HTTP2_PROTOCOL_H_
#define BYRNIE_COMMON_HTTP2_HTTP2_PROTOCOL_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/http2/connect_session.h"
#include "common/http2/tunnel_stream.h"

namespace byrnie {

// What nghttp2 tells of the protocol and asks for, inside its calls. The results are nghttp2's.
class Http2Events {
 public:
  virtual int OnBeginHeaders() = 0;
  virtual int OnHeader(absl::string_view name, absl::string_view value) = 0;
  virtual int OnFrameReceived(const nghttp2_frame* frame) = 0;
  virtual int OnFrameSent(const nghttp2_frame* frame) = 0;
  virtual int OnDataChunk(int32_t id, absl::Span<const uint8_t> data) = 0;
  virtual int OnStreamClose(int32_t id, uint32_t error_code) = 0;
  // How much of `length` the stream sends now; sets the flags of the DATA frame.
  virtual ssize_t OnPullData(int32_t id, size_t length, uint32_t* flags) = 0;
  // Puts the frame into the output: `header` and `length` bytes of the stream.
  virtual int OnSendData(const nghttp2_frame* frame, const uint8_t* header, size_t length) = 0;

 protected:
  ~Http2Events() = default;
};

struct Http2SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using Http2SessionPtr = std::unique_ptr<nghttp2_session, Http2SessionDeleter>;

// A protocol machine with our limits, whose first SETTINGS are queued. `events` outlives it.
Http2SessionPtr NewHttp2Session(TunnelStream::Role role, const ConnectSession::Options& options,
                                Http2Events* events);

// The source of a stream's DATA frames: Http2Events::OnPullData of the session's events.
nghttp2_data_provider PullFromEvents();

// Header fields for a frame. Refers to the strings given; nghttp2 copies them when it takes the
// frame.
class NameValues {
 public:
  void Add(absl::string_view name, absl::string_view value) {
    values_.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                       reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                       value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  void Add(const HeaderList& headers) {
    for (const auto& [name, value] : headers) Add(name, value);
  }
  const nghttp2_nv* data() const { return values_.data(); }
  size_t size() const { return values_.size(); }

 private:
  std::vector<nghttp2_nv> values_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_HTTP2_PROTOCOL_H_
