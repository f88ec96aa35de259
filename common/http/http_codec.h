#ifndef BYRNIE_COMMON_HTTP_HTTP_CODEC_H_
#define BYRNIE_COMMON_HTTP_HTTP_CODEC_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/http/http_message.h"

namespace byrnie {

// One request with what of its header fields the server itself needs.
struct ParsedHttpRequest {
  HttpRequest message;  // Without `peer` and `local`.
  // Every value of the Host and Origin fields.
  std::vector<std::string> hosts;
  std::vector<std::string> origins;
  int version = 11;  // 10 or 11.
  bool keep_alive = false;
};

// Parses one HTTP/1.x request (RFC 9112) that arrives in pieces. Boost.Beast is fenced in the .cc.
// Not thread-safe.
class HttpRequestParser {
 public:
  static constexpr size_t kMaxHeaderSize = 8 * 1024;
  static constexpr size_t kMaxBodySize = 64 * 1024;  // Unless told otherwise.

  enum class State { kNeedMore, kComplete, kError };
  struct Result {
    size_t consumed = 0;
    State state = State::kNeedMore;
  };

  explicit HttpRequestParser(size_t max_body = kMaxBodySize);
  ~HttpRequestParser();
  HttpRequestParser(const HttpRequestParser&) = delete;
  HttpRequestParser& operator=(const HttpRequestParser&) = delete;

  // Takes what it can use from the front of `bytes`; the caller keeps the rest and gives it again
  // with more behind it. After kComplete or kError only the accessors below are called.
  Result Feed(absl::string_view bytes);

  // True once after a header with "Expect: 100-continue" whose body has not come: the client waits
  // for leave to send.
  bool TakeExpectContinue();
  // After kComplete, once.
  ParsedHttpRequest TakeRequest();
  // After kError: what to answer, 400, 413 or 431.
  HttpResponse error_response() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What is said beside a response.
struct HttpResponseOptions {
  int version = 11;         // Of the request: 10 or 11.
  bool keep_alive = false;  // False: "Connection: close".
  std::string allow;        // The Allow field; empty: none.
  absl::Time date;
};

// What stands before the response's body on the wire. Not cached by anybody (Cache-Control:
// no-store), nor its type guessed.
std::string SerializeHttpHead(const HttpResponse& response, const HttpResponseOptions& options);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_CODEC_H_
