#include "common/http/http_codec.h"

#include <boost/asio/buffer.hpp>
#include <boost/assert/source_location.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace boost {

// We build without exceptions, so Boost calls these where it would throw. The calls used here
// report errors by error_code; what is left are violated preconditions, that is, bugs of ours.
BOOST_NORETURN void throw_exception(const std::exception& error) {
  std::fprintf(stderr, "boost exception: %s\n", error.what());
  std::abort();
}
BOOST_NORETURN void throw_exception(const std::exception& error, const boost::source_location&) {
  throw_exception(error);
}

}  // namespace boost

namespace byrnie {
namespace {

namespace beast = ::boost::beast;
namespace http = ::boost::beast::http;

// The least that a body in chunks can end with. Asked again about that end, Beast's parser asserts
// that it has come whole; until it has, the request is not complete in any case.
constexpr absl::string_view kLastChunk = "0\r\n\r\n";

absl::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// False when a '%' is not followed by two hexadecimal digits.
bool PercentDecode(absl::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::ascii_isxdigit(text[i + 2])) {
      return false;
    }
    out->append(absl::HexStringToBytes(text.substr(i + 1, 2)));
    i += 2;
  }
  return true;
}

// Takes a request target apart. Only the origin form (RFC 9112 section 3.2.1) is served: the others
// are for proxies.
bool ParseTarget(absl::string_view target, HttpRequest* request) {
  if (target.empty() || target[0] != '/') return false;
  const size_t mark = target.find('?');
  request->path = std::string(target.substr(0, mark));
  if (mark == absl::string_view::npos) return true;
  for (const absl::string_view pair :
       absl::StrSplit(target.substr(mark + 1), '&', absl::SkipEmpty())) {
    const size_t equals = pair.find('=');
    const absl::string_view value =
        equals == absl::string_view::npos ? absl::string_view() : pair.substr(equals + 1);
    request->query.emplace_back();
    if (!PercentDecode(pair.substr(0, equals), &request->query.back().first) ||
        !PercentDecode(value, &request->query.back().second)) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> FieldValues(const http::fields& fields, http::field name) {
  std::vector<std::string> values;
  const auto range = fields.equal_range(name);
  for (auto it = range.first; it != range.second; ++it) {
    values.emplace_back(View(it->value()));
  }
  return values;
}

// Appends what the serializer gives, in as many steps as it likes.
void AppendAll(http::response_serializer<http::empty_body>* serializer, std::string* out) {
  beast::error_code error;
  while (!serializer->is_done() && !error) {
    size_t taken = 0;
    serializer->next(error, [out, &taken](beast::error_code&, const auto& buffers) {
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer buffer(*it);
        out->append(static_cast<const char*>(buffer.data()), buffer.size());
        taken += buffer.size();
      }
    });
    if (!error) serializer->consume(taken);
  }
}

}  // namespace

namespace {

// Of the header in `bytes`, or what has come of it. A server refuses a folded line or undoes it
// (RFC 9112 section 5.2); nobody who means well has sent one for years.
bool HasFoldedLine(absl::string_view bytes) {
  const absl::string_view header = bytes.substr(0, bytes.find("\r\n\r\n"));
  return absl::StrContains(header, "\n ") || absl::StrContains(header, "\n\t");
}

}  // namespace

struct HttpRequestParser::Impl {
  explicit Impl(size_t max_body) : max_body(max_body) {
    parser.eager(true);
    parser.header_limit(kMaxHeaderSize);
    parser.body_limit(max_body);
  }
  // Says how many of the bytes it has taken.
  size_t Put(absl::string_view bytes, beast::error_code* failure) {
    // The parser looks for the end of a header that comes at once wherever it is, and for that of
    // one that comes in pieces within the limit.
    const bool in_header = !parser.is_header_done();
    const absl::string_view first = in_header ? bytes.substr(0, kMaxHeaderSize) : bytes;
    size_t taken = parser.put(boost::asio::const_buffer(first.data(), first.size()), *failure);
    if (in_header && parser.is_header_done() && !parser.is_done() && taken < bytes.size() &&
        (!*failure || *failure == http::error::need_more)) {
      bytes.remove_prefix(taken);
      if (!MayBeWhole(bytes)) return taken;
      taken += parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), *failure);
    }
    return taken;
  }
  // Whether the parser may be asked about what is left of a request once it has its header.
  bool MayBeWhole(absl::string_view bytes) const {
    return !parser.chunked() || bytes.size() >= kLastChunk.size();
  }
  const size_t max_body;
  http::request_parser<http::string_body> parser;
  beast::error_code error;
  bool continue_taken = false;
  HttpRequest message;  // Path and query, once complete.
};

HttpRequestParser::HttpRequestParser(size_t max_body) : impl_(std::make_unique<Impl>(max_body)) {}
HttpRequestParser::~HttpRequestParser() = default;

HttpRequestParser::Result HttpRequestParser::Feed(absl::string_view bytes) {
  Result result;
  beast::error_code error;
  if (!impl_->parser.is_header_done() && HasFoldedLine(bytes.substr(0, kMaxHeaderSize))) {
    impl_->error = http::error::bad_value;
    result.state = State::kError;
    return result;
  }
  if (impl_->parser.is_header_done() && !impl_->MayBeWhole(bytes)) return result;
  result.consumed = impl_->Put(bytes, &error);
  if (error && error != http::error::need_more) {
    impl_->error = error;
    result.state = State::kError;
  } else if (impl_->parser.is_done()) {
    result.state = State::kComplete;
    if (!ParseTarget(View(impl_->parser.get().target()), &impl_->message)) {
      impl_->error = http::error::bad_target;
      result.state = State::kError;
    }
  }
  return result;
}

bool HttpRequestParser::TakeExpectContinue() {
  if (impl_->continue_taken || !impl_->parser.is_header_done() || impl_->parser.is_done()) {
    return false;
  }
  impl_->continue_taken = true;
  return absl::EqualsIgnoreCase(View(impl_->parser.get()[http::field::expect]), "100-continue");
}

ParsedHttpRequest HttpRequestParser::TakeRequest() {
  auto& message = impl_->parser.get();
  ParsedHttpRequest request;
  request.message = std::move(impl_->message);
  request.message.method = std::string(View(message.method_string()));
  request.message.content_type = std::string(View(message[http::field::content_type]));
  request.message.user_agent = std::string(View(message[http::field::user_agent]));
  request.message.body = std::move(message.body());
  request.hosts = FieldValues(message, http::field::host);
  request.origins = FieldValues(message, http::field::origin);
  request.version = static_cast<int>(message.version());
  request.keep_alive = message.keep_alive();
  return request;
}

HttpResponse HttpRequestParser::error_response() const {
  HttpResponse response;
  if (impl_->error == http::error::header_limit) {
    response.status = 431;
    response.body = absl::StrCat("headers are larger than ", kMaxHeaderSize, " bytes\n");
  } else if (impl_->error == http::error::body_limit) {
    response.status = 413;
    response.body = absl::StrCat("body is larger than ", impl_->max_body, " bytes\n");
  } else {
    response.status = 400;
    response.body = absl::StrCat("malformed request: ", impl_->error.message(), "\n");
  }
  return response;
}

std::string SerializeHttpHead(const HttpResponse& response, const HttpResponseOptions& options) {
  http::response<http::empty_body> message;
  message.version(options.version);
  message.result(static_cast<unsigned>(response.status));
  message.set(http::field::date,
              absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", options.date, absl::UTCTimeZone()));
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  if (!options.allow.empty()) message.set(http::field::allow, options.allow);
  for (const auto& [name, value] : response.headers) message.insert(name, value);
  message.keep_alive(options.keep_alive);
  message.content_length(response.body.size());
  std::string out;
  http::response_serializer<http::empty_body> serializer(message);
  AppendAll(&serializer, &out);
  return out;
}

}  // namespace byrnie
