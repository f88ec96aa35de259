#include "common/http2/http2_call.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/http2/http2_protocol.h"

namespace byrnie {
namespace {

constexpr size_t kReadSize = 16 * 1024;
// Reads and writes of one event, before others get their turn.
constexpr int kMaxStepsPerEvent = 64;
constexpr char kNoHttp2[] = "it speaks no HTTP/2";

struct CallbacksDeleter {
  void operator()(nghttp2_session_callbacks* callbacks) const {
    nghttp2_session_callbacks_del(callbacks);
  }
};

}  // namespace

absl::string_view Http2Call::Answer::Header(absl::string_view name) const {
  for (const auto& [here, value] : headers) {
    if (here == name) return value;
  }
  return "";
}

// The one stream, as nghttp2 sees it.
class Http2Call::Protocol {
 public:
  explicit Protocol(const Request& request) : body_(request.body) {
    nghttp2_session_callbacks* raw_callbacks = nullptr;
    CHECK_EQ(nghttp2_session_callbacks_new(&raw_callbacks), 0);
    const std::unique_ptr<nghttp2_session_callbacks, CallbacksDeleter> callbacks(raw_callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        raw_callbacks,
        [](nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          return static_cast<Protocol*>(self)->OnHeader(
              {reinterpret_cast<const char*>(name), name_size},
              {reinterpret_cast<const char*>(value), value_size});
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        raw_callbacks,
        [](nghttp2_session*, uint8_t, int32_t, const uint8_t* data, size_t size, void* self) {
          return static_cast<Protocol*>(self)->OnData({reinterpret_cast<const char*>(data), size});
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        raw_callbacks, [](nghttp2_session*, int32_t, uint32_t error_code, void* self) {
          static_cast<Protocol*>(self)->OnClose(error_code);
          return 0;
        });
    nghttp2_session* raw_session = nullptr;
    CHECK_EQ(nghttp2_session_client_new(&raw_session, raw_callbacks, this), 0);
    session_.reset(raw_session);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaders},
    };
    CHECK_EQ(nghttp2_submit_settings(raw_session, NGHTTP2_FLAG_NONE, settings,
                                     std::end(settings) - std::begin(settings)),
             0);
    Submit(request);
  }

  // What the peer has sent. InvalidArgument when it is no HTTP/2.
  absl::Status Take(absl::Span<const uint8_t> data) {
    const ssize_t taken = nghttp2_session_mem_recv(session_.get(), data.data(), data.size());
    if (taken == static_cast<ssize_t>(data.size())) return absl::OkStatus();
    if (!status_.ok()) return status_;
    return absl::InvalidArgumentError(
        absl::StrCat(kNoHttp2, ": ", nghttp2_strerror(static_cast<int>(taken))));
  }

  // Puts what is to be sent behind `output`. False when the session has failed.
  bool Give(std::string* output) {
    while (output->size() < kReadSize) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
      if (size < 0) return false;
      if (size == 0) return true;
      output->append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    return true;
  }

  // Whether there is anything left to be said or heard: nghttp2 keeps silent about most of what it
  // cannot go on after, and says so to the peer alone.
  bool over() const {
    return nghttp2_session_want_read(session_.get()) == 0 &&
           nghttp2_session_want_write(session_.get()) == 0;
  }

  void SayGoodbye() { nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR); }

  bool closed() const { return closed_; }
  const absl::Status& status() const { return status_; }
  Answer TakeAnswer() { return std::move(answer_); }

 private:
  void Submit(const Request& request) {
    NameValues fields;
    fields.Add(":method", "POST");
    fields.Add(":scheme", "http");
    fields.Add(":authority", request.authority);
    fields.Add(":path", request.path);
    fields.Add(request.headers);
    nghttp2_data_provider body;
    body.source.ptr = this;
    body.read_callback = [](nghttp2_session*, int32_t, uint8_t* buffer, size_t length,
                            uint32_t* flags, nghttp2_data_source* source, void*) {
      return static_cast<Protocol*>(source->ptr)->ReadBody(buffer, length, flags);
    };
    CHECK_GE(nghttp2_submit_request(session_.get(), nullptr, fields.data(), fields.size(), &body,
                                    nullptr),
             0);
  }

  ssize_t ReadBody(uint8_t* buffer, size_t length, uint32_t* flags) {
    const size_t size = std::min(length, body_.size() - body_sent_);
    if (size > 0) memcpy(buffer, body_.data() + body_sent_, size);
    body_sent_ += size;
    if (body_sent_ == body_.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  int OnHeader(absl::string_view name, absl::string_view value) {
    headers_size_ += name.size() + value.size() + 32;  // As RFC 9113 section 6.5.2 counts them.
    if (headers_size_ > kMaxHeaders) return TooMuch();
    if (name == ":status") {
      // Of several heads the last is the answer's: those before it are interim (RFC 9110, 15.2).
      if (!absl::SimpleAtoi(value, &answer_.status)) answer_.status = 0;
    } else if (!absl::StartsWith(name, ":")) {
      answer_.headers.emplace_back(name, value);
    }
    return 0;
  }

  int OnData(absl::string_view data) {
    if (answer_.body.size() + data.size() > kMaxBody) return TooMuch();
    answer_.body.append(data.data(), data.size());
    return 0;
  }

  void OnClose(uint32_t error_code) {
    closed_ = true;
    if (error_code != NGHTTP2_NO_ERROR) {
      status_ = absl::UnavailableError(
          absl::StrCat("the call ended: ", nghttp2_http2_strerror(error_code)));
    } else if (answer_.status < 200) {
      status_ = absl::UnavailableError("it ended the call without an answer");
    }
  }

  int TooMuch() {
    status_ = absl::ResourceExhaustedError("its answer is too long");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  Http2SessionPtr session_;
  const std::string body_;
  size_t body_sent_ = 0;
  Answer answer_;
  size_t headers_size_ = 0;
  bool closed_ = false;
  absl::Status status_;
};

Http2Call::Http2Call(EventLoop* loop, std::unique_ptr<ByteStream> stream, const Request& request,
                     Callback done)
    : stream_(std::move(stream)),
      resume_(loop->NewDeferred([this] { Run(); })),
      protocol_(std::make_unique<Protocol>(request)),
      done_(std::move(done)) {
  stream_->SetObserver(this);
  resume_->Schedule();
}

Http2Call::~Http2Call() { stream_->SetObserver(nullptr); }

void Http2Call::Run() {
  for (int steps = 0; steps < kMaxStepsPerEvent; ++steps) {
    const bool wrote = WriteSome();
    const bool read = ReadSome();
    if (!wrote && !read) return;
  }
  resume_->Schedule();
}

bool Http2Call::WriteSome() {
  if (done_ == nullptr) return false;
  if (sent_ == output_.size()) {
    output_.clear();
    sent_ = 0;
    if (!protocol_->Give(&output_)) {
      Finish(absl::InvalidArgumentError(kNoHttp2));
      return false;
    }
  }
  // A stream that we reset is closed when that is written.
  if (protocol_->closed()) {
    Finish(protocol_->status());
    return false;
  }
  if (output_.empty()) {
    if (protocol_->over()) Finish(absl::InvalidArgumentError(kNoHttp2));
    return false;
  }
  const auto* data = reinterpret_cast<const uint8_t*>(output_.data());
  const IoResult result = stream_->Write(absl::MakeConstSpan(data + sent_, output_.size() - sent_));
  if (result.status == IoStatus::kError) return false;  // What it said before is read first.
  sent_ += result.bytes;
  return result.status == IoStatus::kOk;
}

bool Http2Call::ReadSome() {
  if (done_ == nullptr) return false;
  uint8_t buffer[kReadSize];
  const IoResult result = stream_->Read(absl::MakeSpan(buffer));
  if (result.status == IoStatus::kEof) {
    Finish(absl::UnavailableError("it ended the connection without an answer"));
    return false;
  }
  if (result.status == IoStatus::kError) {
    Finish(
        absl::UnavailableError(absl::StrCat("the connection broke: ", stream_->error().message())));
    return false;
  }
  if (result.bytes > 0) {
    const absl::Status taken = protocol_->Take(absl::MakeConstSpan(buffer, result.bytes));
    if (protocol_->closed()) {
      Finish(protocol_->status());
    } else if (!taken.ok()) {
      Finish(taken);
    }
  }
  return result.status == IoStatus::kOk && done_ != nullptr;
}

void Http2Call::Finish(absl::Status status) {
  if (done_ == nullptr) return;
  Callback done = std::move(done_);
  done_ = nullptr;
  // An end, not a reset; as much of the farewell as goes at once.
  if (sent_ == output_.size()) {
    protocol_->SayGoodbye();
    std::string farewell;
    if (protocol_->Give(&farewell) && !farewell.empty()) {
      stream_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(farewell.data()), farewell.size()));
    }
  }
  stream_->ShutdownWrite();
  if (status.ok()) {
    done(protocol_->TakeAnswer());
  } else {
    done(std::move(status));
  }
}

}  // namespace byrnie
