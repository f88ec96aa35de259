#ifndef BYRNIE_COMMON_HTTP2_TESTING_HTTP2_FRAMES_H_
#define BYRNIE_COMMON_HTTP2_TESTING_HTTP2_FRAMES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/http2/connect_session.h"

namespace byrnie {

// HTTP/2 as bytes (RFC 9113), for tests that say all of it themselves.

enum Http2FrameType : uint8_t {
  kHttp2Data = 0,
  kHttp2Headers = 1,
  kHttp2ResetStream = 3,
  kHttp2Settings = 4,
  kHttp2Goaway = 7,
};
enum Http2Flag : uint8_t { kHttp2EndStream = 1, kHttp2EndHeaders = 4 };

// One frame.
std::string Http2Frame(uint8_t type, uint8_t flags, uint8_t stream, absl::string_view payload);

// A whole header block, as literals without a table. Names and values are shorter than 127 bytes.
std::string Http2Fields(const HeaderList& fields);

// SETTINGS without any, as a server's connection begins.
std::string Http2ServerBeginning();

// An answer on stream 1 as gRPC servers give it: head, `body`, and trailers with `grpc_status`.
std::string GrpcAnswer(absl::string_view body, int grpc_status);

// A frame that was read.
struct ReadHttp2Frame {
  uint8_t type = 0, flags = 0;
  uint32_t stream = 0;
  std::string payload;
  HeaderList fields;  // Of HEADERS.
};
// What a client has sent, its preface before that. A frame that is not whole is left out, as is
// what no client sends.
std::vector<ReadHttp2Frame> ReadHttp2Frames(absl::string_view bytes);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_TESTING_HTTP2_FRAMES_H_
