#ifndef BYRNIE_COMMON_HTTP_HTTP_RESPONSE_PARSER_H_
#define BYRNIE_COMMON_HTTP_HTTP_RESPONSE_PARSER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// What a client needs of a response's head.
struct HttpResponseHead {
  int status = 0;
  std::string content_type;
  // Where it sends the client; empty when it does not say.
  std::string location;
  // "Retry-After" in seconds, at most an hour; absent when there is none, or it is a date.
  absl::optional<absl::Duration> retry_after;
  // Whether the connection may carry another request once the body has come.
  bool keep_alive = false;
};

// Parses one response to a GET, POST, PUT or PATCH (RFC 9112) that arrives in pieces, with its body
// given on as it comes. Interim responses (1xx) are passed over. Boost.Beast is fenced in the .cc.
// Not thread-safe.
class HttpResponseParser {
 public:
  static constexpr size_t kMaxHeaderSize = 32 * 1024;

  enum class State { kNeedMore, kComplete, kError };
  struct Result {
    size_t consumed = 0;
    State state = State::kNeedMore;
  };

  HttpResponseParser();
  ~HttpResponseParser();
  HttpResponseParser(const HttpResponseParser&) = delete;
  HttpResponseParser& operator=(const HttpResponseParser&) = delete;

  // Takes what it can use from the front of `bytes`; the caller keeps the rest and gives it again
  // with more behind it. Not after kComplete or kError.
  Result Feed(absl::string_view bytes);
  // The connection has ended: kComplete where that is the end of the body, else kError.
  State FeedEnd();

  // Null until the head has come.
  const HttpResponseHead* head() const;
  // What has come of the body since the last call; any number of bytes: limits are the caller's.
  std::string TakeBody();
  // Why, after kError: InvalidArgument, or DataLoss for one that was cut off.
  absl::Status error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_RESPONSE_PARSER_H_
