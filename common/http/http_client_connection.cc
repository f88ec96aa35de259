#include "common/http/http_client_connection.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/base/secret_bytes.h"

namespace byrnie {
namespace {

constexpr size_t kReadSize = 16 * 1024;
// Reads and writes of one event, before others get their turn.
constexpr int kMaxStepsPerEvent = 64;

}  // namespace

HttpClientConnection::HttpClientConnection(EventLoop* loop, std::unique_ptr<ByteStream> stream)
    : loop_(loop),
      stream_(std::move(stream)),
      resume_(loop->NewDeferred([this] { Run(); })),
      timeout_(loop->NewTimer([this] {
        Finish(absl::UnavailableError(absl::StrCat("the server's response was not complete within ",
                                                   absl::FormatDuration(limits_.timeout))));
      })),
      head_timeout_(loop->NewTimer([this] {
        Finish(absl::UnavailableError(absl::StrCat("the server did not answer within ",
                                                   absl::FormatDuration(limits_.head_timeout))));
      })) {
  stream_->SetObserver(this);
  resume_->Schedule();  // To hear when the server closes it.
}

HttpClientConnection::~HttpClientConnection() {
  stream_->SetObserver(nullptr);
  if (state_ == State::kIdle) stream_->ShutdownWrite();
}

void HttpClientConnection::Send(std::string request, const Limits& limits, Handlers handlers) {
  CHECK(state_ == State::kIdle);
  state_ = State::kBusy;
  limits_ = limits;
  handlers_ = std::move(handlers);
  output_ = std::move(request);
  sent_ = 0;
  body_.clear();
  discarded_ = 0;
  has_response_ = false;
  parser_ = std::make_unique<HttpResponseParser>();
  timeout_->Schedule(limits.timeout);
  head_timeout_->Schedule(limits.head_timeout);
  resume_->Schedule();
}

void HttpClientConnection::Abandon() {
  handlers_ = Handlers();
  Finish(absl::CancelledError("given up"));
}

void HttpClientConnection::Run() {
  for (int steps = 0; steps < kMaxStepsPerEvent; ++steps) {
    const bool wrote = WriteSome();
    const bool read = ReadSome();
    if (!wrote && !read) return;
  }
  resume_->Schedule();
}

bool HttpClientConnection::WriteSome() {
  if (state_ != State::kBusy || sent_ == output_.size()) return false;
  const auto* data = reinterpret_cast<const uint8_t*>(output_.data());
  const IoResult result = stream_->Write(absl::MakeConstSpan(data + sent_, output_.size() - sent_));
  // A server may answer before it has read all, and close: the answer is read all the same.
  if (result.status == IoStatus::kError) {
    sent_ = output_.size();
    return false;
  }
  sent_ += result.bytes;
  if (sent_ == output_.size()) {
    WipeString(&output_);  // It has a token.
    sent_ = 0;
    return false;
  }
  return result.status == IoStatus::kOk;
}

bool HttpClientConnection::ReadSome() {
  if (state_ == State::kDone) return false;
  uint8_t buffer[kReadSize];
  const IoResult result = stream_->Read(absl::MakeSpan(buffer));
  if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
    OnEnd();
    return false;
  }
  if (result.bytes > 0) {
    if (state_ == State::kIdle) {
      // Nobody asked: whatever it is, it must not be taken for the answer to the next request.
      Finish(absl::InvalidArgumentError("the server spoke without being asked"));
      return false;
    }
    has_response_ = true;
    input_.append(reinterpret_cast<const char*>(buffer), result.bytes);
    OnBytes();
  }
  return result.status == IoStatus::kOk && state_ != State::kDone;
}

void HttpClientConnection::OnBytes() {
  const HttpResponseParser::Result result = parser_->Feed(input_);
  input_.erase(0, result.consumed);
  if (result.state == HttpResponseParser::State::kError) {
    Finish(parser_->error());
    return;
  }
  if (parser_->head() != nullptr) head_timeout_->Cancel();
  if (!KeepBody()) return;
  if (result.state == HttpResponseParser::State::kComplete) Finish(absl::OkStatus());
}

// False when there is nothing more to do.
bool HttpClientConnection::KeepBody() {
  std::string bytes = parser_->TakeBody();
  if (bytes.empty()) return true;
  if (limits_.discard_body) {
    discarded_ += bytes.size();
    if (discarded_ < limits_.max_body) return true;
    Finish(absl::OkStatus());
    return false;
  }
  const bool good = parser_->head() != nullptr && parser_->head()->status / 100 == 2;
  if (good && handlers_.on_data != nullptr) {
    // It may abandon the request, and must not be destroyed while it runs.
    absl::AnyInvocable<void(absl::string_view)> on_data = std::move(handlers_.on_data);
    on_data(bytes);
    if (state_ != State::kBusy) return false;
    handlers_.on_data = std::move(on_data);
    return true;
  }
  if (body_.size() + bytes.size() > limits_.max_body) {
    Finish(absl::ResourceExhaustedError(
        absl::StrCat("the server's response is larger than ", limits_.max_body, " bytes")));
    return false;
  }
  body_ += bytes;
  return true;
}

void HttpClientConnection::OnEnd() {
  if (state_ == State::kBusy && has_response_) {
    if (parser_->FeedEnd() == HttpResponseParser::State::kComplete && stream_->error().ok()) {
      Finish(absl::OkStatus());  // A body without length: the connection is done with it.
      return;
    }
    Finish(parser_->error().ok() ? stream_->error() : parser_->error());
    return;
  }
  const absl::Status lost = stream_->error();
  Finish(absl::UnavailableError(lost.ok() ? "the server ended the connection"
                                          : absl::StrCat("connection lost: ", lost.message())));
}

void HttpClientConnection::Finish(absl::Status status) {
  if (state_ == State::kDone) return;
  timeout_->Cancel();
  head_timeout_->Cancel();
  // What follows the response belongs to no request.
  const bool again = status.ok() && parser_->head()->keep_alive && input_.empty() &&
                     output_.empty() && state_ == State::kBusy &&
                     !(limits_.discard_body && discarded_ >= limits_.max_body);
  state_ = again ? State::kIdle : State::kDone;
  if (status.ok() && !again) stream_->ShutdownWrite();
  WipeString(&output_);
  Handlers handlers = std::move(handlers_);
  handlers_ = Handlers();
  if (handlers.on_done == nullptr) return;
  if (!status.ok()) return handlers.on_done(std::move(status));
  handlers.on_done(Response{*parser_->head(), std::move(body_)});
}

}  // namespace byrnie
