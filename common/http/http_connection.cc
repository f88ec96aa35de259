#include "common/http/http_connection.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"

namespace byrnie {
namespace {

constexpr size_t kReadSize = 4096;
// Reads, writes and requests of one event, before others get their turn.
constexpr int kMaxStepsPerEvent = 64;
// A body up to this size leaves in one piece with what stands before it; a larger one is not
// copied.
constexpr size_t kSmallBody = 16 * 1024;
// What a peer may still send after its last answer before it is cut off.
constexpr size_t kMaxLinger = 256 * 1024;

}  // namespace

HttpConnection::HttpConnection(EventLoop* loop, std::unique_ptr<ByteStream> stream,
                               const SocketAddress& peer, const SocketAddress& local,
                               HttpRouter* router, absl::AnyInvocable<void()> on_done,
                               const HttpConnectionLimits& limits, HttpRequestMemory* memory)
    : loop_(loop),
      stream_(std::move(stream)),
      peer_(peer),
      local_(local),
      router_(router),
      on_done_(std::move(on_done)),
      limits_(limits),
      memory_(memory),
      parser_(std::make_unique<HttpRequestParser>(limits.max_body)),
      timeout_(loop->NewTimer([this] { OnTimeout(); })),
      resume_(loop->NewDeferred([this] { Run(); })) {
  timeout_->Schedule(limits_.first_byte);
  stream_->SetObserver(this);
  resume_->Schedule();
}

HttpConnection::~HttpConnection() {
  Release();
  stream_->SetObserver(nullptr);
}

void HttpConnection::Drain() {
  draining_ = true;
  // What lies in the kernel is a request that has come.
  if (state_ == State::kServing) Run();
}

bool HttpConnection::TakeWhatHasCome() {
  const uint64_t before = answers_;
  Run();
  return answers_ != before || pending_ != nullptr;
}

HttpConnection::Standing HttpConnection::standing() const {
  if (state_ == State::kServing && (output_sent_ < output_.size() || pending_ != nullptr)) {
    return Standing::kAnswering;
  }
  if (state_ == State::kServing && (request_begun_ || answers_ == 0)) return Standing::kUnanswered;
  return Standing::kIdle;
}

void HttpConnection::OnReadable() { Run(); }
void HttpConnection::OnWritable() { Run(); }

void HttpConnection::Run() {
  for (int steps = 0; steps < kMaxStepsPerEvent; ++steps) {
    if (state_ == State::kDone || Step() == Progress::kBlocked) return;
  }
  resume_->Schedule();
}

HttpConnection::Progress HttpConnection::Step() {
  if (output_sent_ < output_.size()) return WriteOutput();
  if (close_after_output_ && state_ == State::kServing) {
    stream_->ShutdownWrite();
    state_ = State::kLingering;
    timeout_->Schedule(kLingerTimeout);
  }
  if (state_ == State::kLingering) return Linger();
  if (pending_ != nullptr) return Await();
  return !input_.empty() && ParseInput() ? Progress::kMore : ReadInput();
}

HttpConnection::Progress HttpConnection::Await() {
  if (deferred_.has_value()) {
    pending_.reset();
    HttpResponse response = *std::exchange(deferred_, absl::nullopt);
    timeout_->Schedule(limits_.request);
    Answer(std::move(response), "", &asked_);
    return Progress::kMore;
  }
  // The next request waits: one piece of it here, the rest in the transport, where an end behind it
  // is not seen.
  if (!input_.empty()) return Progress::kBlocked;
  uint8_t buffer[kReadSize];
  const IoResult result = stream_->Read(absl::MakeSpan(buffer));
  if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
    Finish();
    return Progress::kBlocked;
  }
  input_.append(reinterpret_cast<const char*>(buffer), result.bytes);
  return result.status == IoStatus::kWouldBlock ? Progress::kBlocked : Progress::kMore;
}

HttpConnection::Progress HttpConnection::WriteOutput() {
  const auto* data = reinterpret_cast<const uint8_t*>(output_.data());
  const IoResult result =
      stream_->Write(absl::MakeConstSpan(data + output_sent_, output_.size() - output_sent_));
  if (result.status == IoStatus::kError) {
    Finish();
    return Progress::kBlocked;
  }
  output_sent_ += result.bytes;
  if (output_sent_ == output_.size()) {
    output_.swap(body_);
    std::string().swap(body_);  // An idle connection holds no buffer; an assignment would keep it.
    output_sent_ = 0;
    if (!output_.empty()) return Progress::kMore;
    if (!request_begun_) timeout_->Schedule(limits_.idle);
    return Progress::kMore;
  }
  return result.status == IoStatus::kWouldBlock ? Progress::kBlocked : Progress::kMore;
}

HttpConnection::Progress HttpConnection::ReadInput() {
  uint8_t buffer[kReadSize];
  const IoResult result = stream_->Read(absl::MakeSpan(buffer));
  switch (result.status) {
    case IoStatus::kEof:
    case IoStatus::kError:
      // Between requests this is how clients leave; within one there is nobody to answer.
      Finish();
      return Progress::kBlocked;
    case IoStatus::kOk:
    case IoStatus::kWouldBlock:
      break;
  }
  input_.append(reinterpret_cast<const char*>(buffer), result.bytes);
  if (result.bytes > 0) BeginRequest();
  if (!Hold(result.bytes)) {
    input_.clear();
    parser_ = std::make_unique<HttpRequestParser>(limits_.max_body);
    Answer({503, "text/plain; charset=utf-8", "too many requests are under way\n"}, "", nullptr);
    return Progress::kMore;
  }
  if (result.bytes > 0 && ParseInput()) return Progress::kMore;
  if (result.status != IoStatus::kWouldBlock) return Progress::kMore;
  if (!draining_ || request_begun_) return Progress::kBlocked;
  close_after_output_ = true;  // In order: dropping the stream would reset an answer under way.
  return Progress::kMore;
}

void HttpConnection::BeginRequest() {
  if (!request_begun_) timeout_->Schedule(limits_.request);
  request_begun_ = true;
}

bool HttpConnection::Hold(size_t bytes) {
  if (memory_ == nullptr || bytes == 0) return true;
  const auto found = memory_->held_of_client.find(peer_.ip());
  const size_t of_client = found == memory_->held_of_client.end() ? 0 : found->second;
  if (bytes > memory_->max - std::min(memory_->held, memory_->max) ||
      bytes > memory_->max_of_client - std::min(of_client, memory_->max_of_client)) {
    return false;
  }
  memory_->held += bytes;
  memory_->held_of_client[peer_.ip()] = of_client + bytes;
  held_ += bytes;
  return true;
}

void HttpConnection::Release(size_t rest) {
  if (memory_ == nullptr || held_ <= rest) return;
  const size_t released = held_ - rest;
  memory_->held -= released;
  const auto of_client = memory_->held_of_client.find(peer_.ip());
  of_client->second -= released;
  if (of_client->second == 0) memory_->held_of_client.erase(of_client);
  held_ = rest;
}

bool HttpConnection::ParseInput() {
  BeginRequest();
  const HttpRequestParser::Result result = parser_->Feed(input_);
  input_.erase(0, result.consumed);
  switch (result.state) {
    case HttpRequestParser::State::kNeedMore:
      if (!parser_->TakeExpectContinue()) return false;
      output_ = "HTTP/1.1 100 Continue\r\n\r\n";
      return true;
    case HttpRequestParser::State::kError:
      Answer(parser_->error_response(), "", nullptr);
      return true;
    case HttpRequestParser::State::kComplete:
      break;
  }
  ParsedHttpRequest request = parser_->TakeRequest();
  request.message.peer = peer_;
  request.message.local = local_;
  parser_ = std::make_unique<HttpRequestParser>(limits_.max_body);
  HttpRouter::Answer answer = router_->Handle(request, [this](HttpResponse response) {
    deferred_ = std::move(response);
    resume_->Schedule();  // Whoever calls this is not destroyed in its own call.
  });
  if (answer.pending != nullptr) {
    pending_ = std::move(answer.pending);
    timeout_->Cancel();
    // Whoever answers may have kept the body, and a copy here would be a second one.
    Release(request.message.body.size());
    std::string().swap(request.message.body);
    asked_ = std::move(request);
    return true;
  }
  Answer(std::move(answer.response), answer.allow, &request);
  return true;
}

void HttpConnection::Answer(HttpResponse response, const std::string& allow,
                            const ParsedHttpRequest* request) {
  HttpResponseOptions options;
  bool without_body = false;
  options.allow = allow;
  options.date = loop_->WallNow();
  if (request != nullptr) {
    options.version = request->version;
    options.keep_alive = request->keep_alive && (!draining_ || !input_.empty());
    without_body = request->message.method == "HEAD";
  }
  close_after_output_ = !options.keep_alive;
  request_begun_ = false;
  Release();
  ++answers_;
  output_ = SerializeHttpHead(response, options);
  if (without_body) return;
  if (response.body.size() <= kSmallBody) {
    output_ += response.body;
  } else {
    body_ = std::move(response.body);
  }
}

void HttpConnection::OnTimeout() {
  if (state_ == State::kServing && output_.empty() && request_begun_) {
    HttpResponse response;
    response.status = 408;
    response.body = "the request took too long\n";
    Answer(std::move(response), "", nullptr);
    timeout_->Schedule(kLingerTimeout);  // A peer that does not take the answer either ends then.
    Run();
    return;
  }
  // Idle, or a peer that does not read its answer.
  if (output_sent_ < output_.size()) stream_->Reset();
  Finish();
}

HttpConnection::Progress HttpConnection::Linger() {
  uint8_t buffer[kReadSize];
  const IoResult result = stream_->Read(absl::MakeSpan(buffer));
  if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
    if (result.status == IoStatus::kError || stream_->Flushed()) {
      Finish();
    }
    return Progress::kBlocked;  // OnWritable comes when the answer has left, or the timeout.
  }
  lingered_ += result.bytes;
  if (lingered_ > kMaxLinger) {
    Finish();
    return Progress::kBlocked;
  }
  return result.status == IoStatus::kWouldBlock ? Progress::kBlocked : Progress::kMore;
}

void HttpConnection::Finish() {
  if (state_ == State::kDone) return;
  state_ = State::kDone;
  timeout_->Cancel();
  resume_->Cancel();
  pending_.reset();
  stream_->SetObserver(nullptr);
  on_done_();
}

}  // namespace byrnie
