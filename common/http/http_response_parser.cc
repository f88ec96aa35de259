#include "common/http/http_response_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/optional.hpp>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

namespace beast = ::boost::beast;
namespace http = ::boost::beast::http;

constexpr int64_t kMaxRetryAfterSeconds = 3600;

absl::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// A body that is taken away while it comes. Beast's string_body makes room for all of it at once,
// as the other end says it will be.
struct TakenBody {
  using value_type = std::string;

  class reader {
   public:
    template <bool is_request, class Fields>
    reader(http::header<is_request, Fields>& /*header*/, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>& /*length*/, beast::error_code& error) {
      error = {};
    }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, beast::error_code& error) {
      error = {};
      std::size_t taken = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer buffer(*it);
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        taken += buffer.size();
      }
      return taken;
    }
    void finish(beast::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

using Parser = http::response_parser<TakenBody>;

}  // namespace

struct HttpResponseParser::Impl {
  Impl() { Begin(); }
  void Begin() {
    parser = std::make_unique<Parser>();
    parser->eager(true);
    parser->header_limit(kMaxHeaderSize);
    // Not "none": a length is more than that.
    parser->body_limit(std::numeric_limits<std::uint64_t>::max());
  }
  void ReadHead() {
    if (has_head || !parser->is_header_done()) return;
    const auto& message = parser->get();
    if (message.result_int() / 100 == 1) return;
    head.status = static_cast<int>(message.result_int());
    head.content_type = std::string(View(message[http::field::content_type]));
    head.location = std::string(View(message[http::field::location]));
    int64_t seconds = 0;
    if (absl::SimpleAtoi(View(message[http::field::retry_after]), &seconds) && seconds >= 0) {
      head.retry_after = absl::Seconds(std::min(seconds, kMaxRetryAfterSeconds));
    }
    head.keep_alive = message.keep_alive() && !parser->need_eof();
    has_head = true;
  }

  // Anew after each interim response.
  std::unique_ptr<Parser> parser;
  HttpResponseHead head;
  bool has_head = false;
  absl::Status error;
};

HttpResponseParser::HttpResponseParser() : impl_(std::make_unique<Impl>()) {}
HttpResponseParser::~HttpResponseParser() = default;

HttpResponseParser::Result HttpResponseParser::Feed(absl::string_view bytes) {
  Result result;
  while (true) {
    beast::error_code error;
    const absl::string_view rest = bytes.substr(result.consumed);
    const size_t taken =
        impl_->parser->put(boost::asio::const_buffer(rest.data(), rest.size()), error);
    result.consumed += taken;
    if (error && error != http::error::need_more) {
      impl_->error =
          absl::InvalidArgumentError(absl::StrCat("not an HTTP response: ", error.message()));
      result.state = State::kError;
      return result;
    }
    impl_->ReadHead();
    if (impl_->parser->is_done()) {
      if (impl_->has_head) {
        result.state = State::kComplete;
        return result;
      }
      impl_->Begin();  // What was done is an interim response.
      continue;
    }
    // What cannot be used yet stays; of a body all can be used.
    if (taken == 0 || result.consumed == bytes.size()) return result;
  }
}

HttpResponseParser::State HttpResponseParser::FeedEnd() {
  beast::error_code error;
  impl_->parser->put_eof(error);
  if (!error && impl_->has_head && impl_->parser->is_done()) return State::kComplete;
  impl_->error = absl::DataLossError("the connection ended within a response");
  return State::kError;
}

const HttpResponseHead* HttpResponseParser::head() const {
  return impl_->has_head ? &impl_->head : nullptr;
}

std::string HttpResponseParser::TakeBody() {
  std::string body;
  body.swap(impl_->parser->get().body());
  return body;
}

absl::Status HttpResponseParser::error() const { return impl_->error; }

}  // namespace byrnie
