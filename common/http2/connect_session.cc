#include "common/http2/connect_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/check.h"
#include "common/http2/tunnel_stream.h"

namespace byrnie {
namespace {

// Output is pulled from nghttp2 up to this much ahead of the transport.
constexpr size_t kOutputTarget = 64 * 1024;
constexpr size_t kFrameHeader = 9;
constexpr size_t kReadSize = 64 * 1024;
constexpr size_t kBytesPerEvent = 256 * 1024;
constexpr size_t kFirstOutput = 4 * 1024;
// How long the last bytes of a session and the peer's end may take.
constexpr absl::Duration kCloseTimeout = absl::Seconds(2);
// Streams reset before they were answered, and streams that break the rules, in kAbuseWindow: more
// than this beside what is open is an attack (CVE-2023-44487, CVE-2025-8671), not traffic.
constexpr absl::Duration kAbuseWindow = absl::Seconds(10);
constexpr size_t kAbuseLimit = 200;
// Answers the peer provokes and does not read.
constexpr size_t kMaxQueuedFrames = 4096;
constexpr uint8_t kLivenessPing[8] = {'b', 'y', 'r', 'n', 'i', 'e', 0, 1};
constexpr uint8_t kDrainPing[8] = {'b', 'y', 'r', 'n', 'i', 'e', 0, 2};

struct CallbacksDeleter {
  void operator()(nghttp2_session_callbacks* callbacks) const {
    nghttp2_session_callbacks_del(callbacks);
  }
};
struct OptionDeleter {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};
struct SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};

// Refers to the strings given; nghttp2 copies them when it takes the frame.
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

// The header block being received; a connection carries one at a time (RFC 9113 section 4.3).
struct HeaderBlock {
  std::string method;
  std::string authority;
  int status = 0;
  HeaderList headers;
  size_t size = 0;
  bool too_large = false;
};

class SessionImpl final : public ConnectSession,
                          public TunnelStream::Session,
                          public ByteStream::Observer {
 public:
  SessionImpl(EventLoop* loop, std::unique_ptr<ByteStream> transport, const Options& options,
              Delegate* delegate, TunnelStream::Role role);
  ~SessionImpl() override;

  // ConnectSession:
  absl::StatusOr<std::unique_ptr<ConnectStream>> OpenStream(const ConnectRequest& request,
                                                            ResponseCallback on_response) override;
  bool CanOpenStream() const override;
  size_t open_streams() const override { return open_; }
  void Drain() override;
  void Close() override { BeginClose(absl::OkStatus()); }
  const ByteStream& transport() const override { return *transport_; }
  absl::Duration round_trip() const override { return round_trip_; }

 private:
  enum class State {
    kOpen,
    kClosing,    // GOAWAY and what else is queued goes out.
    kLingering,  // Our direction is shut down; the peer's end is awaited, with a deadline.
    kClosed,     // OnSessionClosed is due or has run.
  };

  // TunnelStream::Session:
  void ReturnWindow(int32_t id, size_t bytes) override;
  void SendReady(TunnelStream* stream) override;
  void PullNow(TunnelStream* stream) override;
  void SendAccept(int32_t id, const HeaderList& headers) override;
  void SendReject(int32_t id, int status, const HeaderList& headers) override;
  void WantUpcalls(TunnelStream* stream) override;
  bool OutputTaken(uint64_t mark) const override { return mark <= OutputEnd() - OutputSize(); }
  void WatchOutput() override { output_watched_ = true; }
  void Forget(TunnelStream* stream, bool cancel) override;

  // ByteStream::Observer of the transport:
  void OnReadable() override { ReadTransport(); }
  void OnWritable() override;

  // nghttp2's callbacks.
  int OnBeginHeaders(const nghttp2_frame* frame);
  int OnHeader(absl::string_view name, absl::string_view value);
  int OnFrameReceived(const nghttp2_frame* frame);
  int OnFrameSent(const nghttp2_frame* frame);
  int OnDataChunk(int32_t id, absl::Span<const uint8_t> data);
  int OnStreamClose(int32_t id, uint32_t error_code);
  ssize_t OnPullData(int32_t id, size_t length, uint32_t* flags);
  int OnSendData(const nghttp2_frame* frame, const uint8_t* header, size_t length);

  void CreateNghttp2();
  static const nghttp2_session_callbacks* Callbacks();
  nghttp2_data_provider DataProvider();
  void OnRequest(int32_t id, bool end_stream);
  void OnAnswer(int32_t id, bool end_stream);
  void OnSettingsOrClose(bool could_open);
  void SubmitReset(int32_t id, uint32_t error_code);
  void NoteAbuse();

  void ReadTransport();
  void Feed(absl::Span<const uint8_t> data);
  // Pulls frames into the output while there is room; true when there may be more.
  bool Pump();
  void Flush();
  void AppendOutput(const uint8_t* data, size_t size);
  uint8_t* ReserveOutput(size_t size);
  size_t OutputSize() const { return output_end_ - output_begin_; }
  // The output's end, counted from the session's first byte.
  uint64_t OutputEnd() const { return output_total_; }
  void OutputMoved();

  void Schedule() { dispatch_->Schedule(); }
  void Dispatch();
  // Runs upcalls; false when the session was destroyed by one.
  bool DispatchUpcalls();
  void OnTimer();
  void ArmPing();
  void BeginClose(const absl::Status& status);
  void Fail(const absl::Status& status);
  void BreakStreams(const absl::Status& status);
  void CheckEnd();
  TunnelStream* Find(int32_t id) const;
  bool server() const { return role_ == TunnelStream::Role::kServer; }

  EventLoop* const loop_;     // Not owned.
  Delegate* const delegate_;  // Not owned.
  const Options options_;
  const TunnelStream::Role role_;
  std::unique_ptr<ByteStream> transport_;
  std::unique_ptr<nghttp2_session, SessionDeleter> http2_;
  std::unique_ptr<EventLoop::Deferred> dispatch_;
  std::unique_ptr<EventLoop::Timer> timer_;
  absl::flat_hash_map<int32_t, TunnelStream*> streams_;  // All that are not destroyed. Not owned.
  std::vector<TunnelStream*> ready_;                     // With upcalls due.
  std::vector<TunnelStream*> running_;                   // The same, while upcalls run.
  struct Connect {
    std::unique_ptr<TunnelStream> stream;
    ConnectRequest request;
  };
  std::vector<Connect> connects_;  // Not yet shown to the delegate.
  HeaderBlock block_;

  // [output_begin_, output_end_) of output_ waits for the transport; nothing is allocated when
  // nothing waits.
  std::unique_ptr<uint8_t[]> output_;
  size_t output_capacity_ = 0;
  size_t output_begin_ = 0;
  size_t output_end_ = 0;
  uint64_t output_total_ = 0;

  State state_ = State::kOpen;
  absl::Status end_status_;
  absl::optional<absl::Status> pending_end_;  // A GOAWAY with an error is in the output.
  absl::Status peer_goaway_;
  size_t open_ = 0;
  int32_t peer_reset_id_ = 0;
  absl::Duration last_read_;
  absl::Duration ping_sent_;
  absl::Duration round_trip_ = absl::ZeroDuration();
  absl::Duration abuse_start_;
  size_t abuse_count_ = 0;
  bool ping_outstanding_ = false;
  bool draining_ = false;
  bool last_goaway_sent_ = false;
  bool goaway_received_ = false;
  bool goaway_due_ = false;
  bool streams_changed_ = false;
  bool closed_due_ = false;
  bool read_due_ = true;
  bool transport_blocked_ = false;
  bool transport_ended_ = false;
  bool output_watched_ = false;
  bool* destroyed_ = nullptr;  // Set while upcalls run.
};

SessionImpl* Self(void* user_data) { return static_cast<SessionImpl*>(user_data); }

SessionImpl::SessionImpl(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                         const Options& options, Delegate* delegate, TunnelStream::Role role)
    : loop_(loop),
      delegate_(delegate),
      options_(options),
      role_(role),
      transport_(std::move(transport)),
      dispatch_(loop->NewDeferred([this] { Dispatch(); })),
      timer_(loop->NewTimer([this] { OnTimer(); })),
      last_read_(loop->Now()),
      abuse_start_(loop->Now()) {
  CreateNghttp2();
  transport_->SetObserver(this);
  ArmPing();
  Schedule();
}

SessionImpl::~SessionImpl() {
  DCHECK(loop_->InLoopThread());
  if (destroyed_ != nullptr) *destroyed_ = true;
  state_ = State::kClosed;
  transport_->SetObserver(nullptr);
  connects_.clear();
  const absl::Status gone = absl::UnavailableError("the http/2 session is gone");
  for (const auto& [id, stream] : streams_) stream->OnSessionGone(gone);
}

const nghttp2_session_callbacks* SessionImpl::Callbacks() {
  // Made once and never changed; a plain pointer, so nothing runs at exit.
  static const nghttp2_session_callbacks* const kCallbacks = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          return Self(self)->OnBeginHeaders(frame);
        });
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* self) {
          return Self(self)->OnHeader({reinterpret_cast<const char*>(name), name_size},
                                      {reinterpret_cast<const char*>(value), value_size});
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          return Self(self)->OnFrameReceived(frame);
        });
    nghttp2_session_callbacks_set_on_frame_send_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          return Self(self)->OnFrameSent(frame);
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          return Self(self)->OnDataChunk(id, absl::MakeConstSpan(data, size));
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
          return Self(self)->OnStreamClose(id, error_code);
        });
    nghttp2_session_callbacks_set_send_data_callback(
        callbacks, [](nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t length,
                      nghttp2_data_source*,
                      void* self) { return Self(self)->OnSendData(frame, header, length); });
    return callbacks;
  }();
  return kCallbacks;
}

void SessionImpl::CreateNghttp2() {
  nghttp2_option* raw_option = nullptr;
  CHECK_EQ(nghttp2_option_new(&raw_option), 0);
  const std::unique_ptr<nghttp2_option, OptionDeleter> option(raw_option);
  nghttp2_option_set_no_auto_window_update(raw_option, 1);
  nghttp2_option_set_no_closed_streams(raw_option, 1);
  nghttp2_option_set_max_outbound_ack(raw_option, 256);
  nghttp2_option_set_max_settings(raw_option, 32);
  nghttp2_option_set_peer_max_concurrent_streams(raw_option, 100);
  nghttp2_option_set_max_deflate_dynamic_table_size(raw_option, 1024);
  // Debian's nghttp2 counts every RST_STREAM; those of answered tunnels are ordinary resets of
  // applications. NoteAbuse counts the others, more strictly.
  nghttp2_option_set_stream_reset_rate_limit(raw_option, 10000, 2000);

  nghttp2_session* raw_session = nullptr;
  if (server()) {
    CHECK_EQ(nghttp2_session_server_new2(&raw_session, Callbacks(), this, raw_option), 0);
  } else {
    CHECK_EQ(nghttp2_session_client_new2(&raw_session, Callbacks(), this, raw_option), 0);
  }
  http2_.reset(raw_session);

  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 1024},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options_.max_frame_size},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options_.max_header_list_size},
  };
  if (server()) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.max_concurrent_streams});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  CHECK_EQ(
      nghttp2_submit_settings(raw_session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()), 0);
  const uint64_t all_streams =
      uint64_t{options_.max_concurrent_streams} * uint64_t{options_.stream_window};
  const int32_t window = static_cast<int32_t>(
      std::clamp<uint64_t>(all_streams, NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE, INT32_MAX));
  CHECK_EQ(nghttp2_session_set_local_window_size(raw_session, NGHTTP2_FLAG_NONE, 0, window), 0);
}

// ---- The protocol's events
// -------------------------------------------------------------------------------------

int SessionImpl::OnBeginHeaders(const nghttp2_frame*) {
  block_ = HeaderBlock();
  return 0;
}

int SessionImpl::OnHeader(absl::string_view name, absl::string_view value) {
  // The size as RFC 9113 section 6.5.2 counts it.
  block_.size += name.size() + value.size() + 32;
  if (block_.size > options_.max_header_list_size) {
    block_.too_large = true;
    block_.headers.clear();
    return 0;
  }
  if (name == ":method") {
    block_.method = std::string(value);
  } else if (name == ":authority") {
    block_.authority = std::string(value);
  } else if (name == ":status") {
    if (!absl::SimpleAtoi(value, &block_.status)) block_.status = 0;
  } else if (!name.empty() && name[0] != ':') {
    block_.headers.emplace_back(name, value);
  }
  return 0;
}

int SessionImpl::OnFrameReceived(const nghttp2_frame* frame) {
  const int32_t id = frame->hd.stream_id;
  const bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      if (server() && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        OnRequest(id, end_stream);
      } else {
        OnAnswer(id, end_stream);
      }
      break;
    case NGHTTP2_DATA:
      if (end_stream) {
        if (TunnelStream* stream = Find(id)) stream->OnEndStream();
      }
      break;
    case NGHTTP2_RST_STREAM: {
      peer_reset_id_ = id;
      const TunnelStream* stream = Find(id);
      // Not those that cross a reset of ours, nor those of open tunnels.
      const bool known = nghttp2_session_find_stream(http2_.get(), id) != nullptr;
      const bool unanswered =
          stream != nullptr ? !stream->answered()
                            : nghttp2_session_get_stream_user_data(http2_.get(), id) == nullptr;
      if (server() && known && unanswered) NoteAbuse();
      break;
    }
    case NGHTTP2_SETTINGS:
      OnSettingsOrClose(/*could_open=*/false);
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) break;
      if (ping_outstanding_ &&
          std::memcmp(frame->ping.opaque_data, kLivenessPing, sizeof(kLivenessPing)) == 0) {
        ping_outstanding_ = false;
        round_trip_ = loop_->Now() - ping_sent_;
        ArmPing();
      } else if (draining_ && !last_goaway_sent_ &&
                 std::memcmp(frame->ping.opaque_data, kDrainPing, sizeof(kDrainPing)) == 0) {
        // The peer has read the notice: what it opened before is known by now.
        nghttp2_submit_goaway(http2_.get(), NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(http2_.get()),
                              NGHTTP2_NO_ERROR, nullptr, 0);
        last_goaway_sent_ = true;
      }
      break;
    case NGHTTP2_GOAWAY:
      if (!goaway_received_) goaway_due_ = true;
      goaway_received_ = true;
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        peer_goaway_ =
            absl::UnavailableError(absl::StrCat("the peer ended the http/2 session: ",
                                                nghttp2_http2_strerror(frame->goaway.error_code)));
      }
      Schedule();
      break;
    default:
      break;
  }
  return 0;
}

void SessionImpl::OnRequest(int32_t id, bool end_stream) {
  if (state_ != State::kOpen) return;
  if (block_.too_large || block_.method != "CONNECT" || block_.authority.empty()) {
    SendReject(id, block_.too_large ? 431 : 400, {});
    return;
  }
  nghttp2_session_set_stream_user_data(http2_.get(), id, this);
  ++open_;
  auto stream = std::make_unique<TunnelStream>(loop_, this, id, TunnelStream::Role::kServer);
  streams_[id] = stream.get();
  if (end_stream) stream->OnEndStream();
  connects_.push_back(
      {std::move(stream), ConnectRequest{std::move(block_.authority), std::move(block_.headers)}});
  Schedule();
}

void SessionImpl::OnAnswer(int32_t id, bool end_stream) {
  TunnelStream* stream = Find(id);
  if (stream == nullptr) return;
  // Trailers mean nothing to a tunnel, and informational answers come before the one that counts.
  const bool answer = !server() && !stream->answered() && (block_.status >= 200 || end_stream);
  if (answer && block_.too_large) {
    stream->OnClosed(absl::UnavailableError(absl::StrCat("the answer's headers are larger than ",
                                                         options_.max_header_list_size, " bytes")));
    SubmitReset(id, NGHTTP2_CANCEL);
    return;
  }
  if (answer) {
    stream->OnResponse(block_.status, std::move(block_.headers));
    if (!stream->error().ok()) {
      SubmitReset(id, NGHTTP2_CANCEL);
      return;
    }
  }
  if (end_stream) stream->OnEndStream();
}

int SessionImpl::OnFrameSent(const nghttp2_frame* frame) {
  const int32_t id = frame->hd.stream_id;
  const bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_DATA:
      if (TunnelStream* stream = Find(id)) {
        // An empty frame is still to be appended by Pump; others have been by OnSendData.
        if (end_stream) {
          stream->OnEndSent(OutputEnd() + (frame->hd.length == 0 ? kFrameHeader : 0));
        }
        if (stream->reset_due()) SendReady(stream);
      }
      break;
    case NGHTTP2_HEADERS:
      // The answer to a refused request is complete: the rest of the request is not wanted (RFC
      // 9113 section 8.1).
      if (server() && end_stream &&
          nghttp2_session_get_stream_remote_close(http2_.get(), id) == 0) {
        SubmitReset(id, NGHTTP2_NO_ERROR);
      }
      break;
    case NGHTTP2_RST_STREAM: {
      if (TunnelStream* stream = Find(id)) {
        stream->OnResetSent(OutputEnd() + kFrameHeader + frame->hd.length);
      }
      const uint32_t code = frame->rst_stream.error_code;
      if (server() && (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
                       code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_REFUSED_STREAM)) {
        NoteAbuse();
      }
      break;
    }
    case NGHTTP2_GOAWAY:
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !pending_end_.has_value()) {
        pending_end_ = absl::UnavailableError(absl::StrCat(
            "http/2 error of the peer: ", nghttp2_http2_strerror(frame->goaway.error_code),
            frame->goaway.opaque_data_len > 0 ? ": " : "",
            absl::string_view(reinterpret_cast<const char*>(frame->goaway.opaque_data),
                              frame->goaway.opaque_data_len)));
        Schedule();
      }
      break;
    default:
      break;
  }
  return 0;
}

int SessionImpl::OnDataChunk(int32_t id, absl::Span<const uint8_t> data) {
  // The connection's window is given back at once: what a stream may hold is bounded by its own,
  // and a slow reader takes nothing from the others.
  nghttp2_session_consume_connection(http2_.get(), data.size());
  TunnelStream* stream = Find(id);
  if (stream == nullptr || !stream->OnData(data)) {
    nghttp2_session_consume_stream(http2_.get(), id, data.size());
  }
  return 0;
}

int SessionImpl::OnStreamClose(int32_t id, uint32_t error_code) {
  const bool peer_reset = peer_reset_id_ == id;
  if (peer_reset) peer_reset_id_ = 0;
  const bool could_open = CanOpenStream();
  if (nghttp2_session_get_stream_user_data(http2_.get(), id) != nullptr && open_ > 0) --open_;
  if (TunnelStream* stream = Find(id)) {
    absl::Status status;
    if (stream->reset_submitted()) {
      // Ours; what was to be said has been said.
    } else if (peer_reset) {
      status = absl::UnavailableError(
          absl::StrCat("the peer reset the stream: ", nghttp2_http2_strerror(error_code)));
    } else if (error_code != NGHTTP2_NO_ERROR) {
      status = absl::UnavailableError(
          absl::StrCat("the stream was closed: ", nghttp2_http2_strerror(error_code)));
    } else if (!stream->answered()) {
      status = absl::UnavailableError("the stream was closed without an answer");
    }
    stream->OnClosed(status);
    const auto unseen =
        std::find_if(connects_.begin(), connects_.end(),
                     [stream](const Connect& c) { return c.stream.get() == stream; });
    if (unseen != connects_.end()) connects_.erase(unseen);
  }
  OnSettingsOrClose(could_open);
  return 0;
}

void SessionImpl::OnSettingsOrClose(bool could_open) {
  if (state_ != State::kOpen) return;
  if (open_ == 0 || (!could_open && CanOpenStream())) {
    streams_changed_ = true;
    Schedule();
  }
}

ssize_t SessionImpl::OnPullData(int32_t id, size_t length, uint32_t* flags) {
  if (OutputSize() >= kOutputTarget) return NGHTTP2_ERR_PAUSE;
  TunnelStream* stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;  // Its reset is queued.
  const size_t size = std::min(length, stream->sendable());
  const bool end = stream->ends_after(size);
  if (size == 0 && !end) return NGHTTP2_ERR_DEFERRED;
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (end) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

int SessionImpl::OnSendData(const nghttp2_frame* frame, const uint8_t* header, size_t length) {
  TunnelStream* stream = Find(frame->hd.stream_id);
  // Follows OnPullData in one call of nghttp2, so the stream and its bytes are still there; we ask
  // for no padding.
  CHECK(stream != nullptr && stream->sendable() >= length);
  AppendOutput(header, kFrameHeader);
  stream->TakeSendable(absl::MakeSpan(ReserveOutput(length), length));
  stream->OnSent(OutputEnd());
  return 0;
}

void SessionImpl::NoteAbuse() {
  if (loop_->Now() - abuse_start_ > kAbuseWindow) {
    abuse_start_ = loop_->Now();
    abuse_count_ = 0;
  }
  if (++abuse_count_ == kAbuseLimit + open_ + 1) {
    nghttp2_session_terminate_session(http2_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

void SessionImpl::SubmitReset(int32_t id, uint32_t error_code) {
  nghttp2_submit_rst_stream(http2_.get(), NGHTTP2_FLAG_NONE, id, error_code);
  Schedule();
}

// ---- What streams ask for
// ----------------------------------------------------------------------------------------

void SessionImpl::ReturnWindow(int32_t id, size_t bytes) {
  if (state_ != State::kOpen) return;
  nghttp2_session_consume_stream(http2_.get(), id, bytes);
  if (nghttp2_session_want_write(http2_.get()) != 0) Schedule();
}

void SessionImpl::SendReady(TunnelStream* stream) {
  if (state_ != State::kOpen) return;
  if (stream->reset_due()) {
    stream->OnResetSubmitted();
    // RFC 9113 section 8.5: a reset of the tunnelled connection.
    SubmitReset(stream->id(), NGHTTP2_CONNECT_ERROR);
    return;
  }
  nghttp2_session_resume_data(http2_.get(), stream->id());
  Schedule();
}

void SessionImpl::PullNow(TunnelStream* stream) {
  if (state_ != State::kOpen) return;
  nghttp2_session_resume_data(http2_.get(), stream->id());
  Pump();
  Schedule();
}

nghttp2_data_provider SessionImpl::DataProvider() {
  nghttp2_data_provider provider;
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, int32_t id, uint8_t*, size_t length,
                              uint32_t* flags, nghttp2_data_source*,
                              void* self) { return Self(self)->OnPullData(id, length, flags); };
  return provider;
}

void SessionImpl::SendAccept(int32_t id, const HeaderList& headers) {
  if (state_ != State::kOpen) return;
  NameValues values;
  values.Add(":status", "200");
  values.Add(headers);
  const nghttp2_data_provider provider = DataProvider();
  nghttp2_submit_response(http2_.get(), id, values.data(), values.size(), &provider);
  Schedule();
}

void SessionImpl::SendReject(int32_t id, int status, const HeaderList& headers) {
  if (state_ != State::kOpen) return;
  const std::string code = absl::StrCat(status);
  NameValues values;
  values.Add(":status", code);
  values.Add(headers);
  nghttp2_submit_response(http2_.get(), id, values.data(), values.size(), nullptr);
  Schedule();
}

void SessionImpl::WantUpcalls(TunnelStream* stream) {
  if (!stream->queued) {
    stream->queued = true;
    ready_.push_back(stream);
  }
  Schedule();
}

void SessionImpl::Forget(TunnelStream* stream, bool cancel) {
  streams_.erase(stream->id());
  if (stream->queued) {
    std::replace(ready_.begin(), ready_.end(), stream, static_cast<TunnelStream*>(nullptr));
    std::replace(running_.begin(), running_.end(), stream, static_cast<TunnelStream*>(nullptr));
  }
  if (cancel && state_ == State::kOpen) SubmitReset(stream->id(), NGHTTP2_CANCEL);
}

TunnelStream* SessionImpl::Find(int32_t id) const {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second;
}

// ---- The session's interface
// ---------------------------------------------------------------------------------------

bool SessionImpl::CanOpenStream() const {
  if (server() || state_ != State::kOpen || draining_ || goaway_received_) return false;
  const uint32_t limit = std::min(
      options_.max_concurrent_streams,
      nghttp2_session_get_remote_settings(http2_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
  return open_ < limit && nghttp2_session_check_request_allowed(http2_.get()) != 0;
}

absl::StatusOr<std::unique_ptr<ConnectStream>> SessionImpl::OpenStream(
    const ConnectRequest& request, ResponseCallback on_response) {
  DCHECK(loop_->InLoopThread());
  DCHECK(!server());
  if (state_ != State::kOpen) return absl::UnavailableError("the http/2 session is closed");
  if (draining_ || goaway_received_ || nghttp2_session_check_request_allowed(http2_.get()) == 0) {
    return absl::UnavailableError("the http/2 session takes no new streams");
  }
  if (!CanOpenStream()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the http/2 session has ", open_, " streams open, which is its limit"));
  }
  NameValues values;
  values.Add(":method", "CONNECT");
  values.Add(":authority", request.authority);
  values.Add(request.headers);
  const nghttp2_data_provider provider = DataProvider();
  const int32_t id = nghttp2_submit_request(http2_.get(), nullptr, values.data(), values.size(),
                                            &provider, /*stream_user_data=*/this);
  if (id < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open an http/2 stream: ", nghttp2_strerror(id)));
  }
  auto stream = std::make_unique<TunnelStream>(loop_, this, id, TunnelStream::Role::kClient);
  stream->set_on_response(std::move(on_response));
  streams_[id] = stream.get();
  ++open_;
  Schedule();
  return std::unique_ptr<ConnectStream>(std::move(stream));
}

void SessionImpl::Drain() {
  DCHECK(loop_->InLoopThread());
  if (draining_ || state_ != State::kOpen) return;
  draining_ = true;
  if (server()) {
    // RFC 9113 section 6.8: streams the peer opened before it read this still count; the PING tells
    // when it has.
    nghttp2_submit_shutdown_notice(http2_.get());
    nghttp2_submit_ping(http2_.get(), NGHTTP2_FLAG_NONE, kDrainPing);
  } else {
    nghttp2_submit_goaway(http2_.get(), NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(http2_.get()), NGHTTP2_NO_ERROR,
                          nullptr, 0);
    last_goaway_sent_ = true;
  }
  Schedule();
}

// ---- Transport
// -----------------------------------------------------------------------------------------------------

void SessionImpl::OnWritable() {
  transport_blocked_ = false;
  Schedule();
}

void SessionImpl::ReadTransport() {
  // On the stack: a session that is not reading right now owns no buffer.
  uint8_t buffer[kReadSize];
  size_t moved = 0;
  read_due_ = false;
  while (state_ != State::kClosed && !transport_ended_) {
    if (moved >= kBytesPerEvent) {
      read_due_ = true;
      break;
    }
    const IoResult result = transport_->Read(absl::MakeSpan(buffer));
    if (result.status == IoStatus::kEof) {
      transport_ended_ = true;
      if (state_ == State::kOpen) {
        BeginClose(!peer_goaway_.ok() ? peer_goaway_
                   : open_ == 0
                       ? absl::OkStatus()
                       : absl::UnavailableError(absl::StrCat("the peer closed the connection with ",
                                                             open_, " streams open")));
      }
      break;
    }
    if (result.status == IoStatus::kError) {
      const absl::Status error = transport_->error();
      Fail(!peer_goaway_.ok() ? peer_goaway_
           : !error.ok()      ? error
                              : absl::UnavailableError("the transport is broken"));
      break;
    }
    if (result.bytes > 0) {
      moved += result.bytes;
      last_read_ = loop_->Now();
      Feed(absl::MakeConstSpan(buffer, result.bytes));
    }
    if (result.status == IoStatus::kWouldBlock) break;
  }
  Schedule();
}

void SessionImpl::Feed(absl::Span<const uint8_t> data) {
  if (state_ != State::kOpen) return;  // Only the peer's end is of interest.
  const ssize_t fed = nghttp2_session_mem_recv(http2_.get(), data.data(), data.size());
  if (fed < 0) {
    Fail(absl::UnavailableError(
        absl::StrCat("http/2 error of the peer: ", nghttp2_strerror(static_cast<int>(fed)))));
    return;
  }
  if (nghttp2_session_get_outbound_queue_size(http2_.get()) > kMaxQueuedFrames) {
    Fail(absl::UnavailableError("the peer provokes answers and does not read them"));
  }
}

uint8_t* SessionImpl::ReserveOutput(size_t size) {
  if (output_end_ + size > output_capacity_) {
    const size_t used = OutputSize();
    size_t capacity = std::max(output_capacity_, kFirstOutput);
    while (capacity < used + size) capacity *= 2;
    if (capacity == output_capacity_) {
      std::memmove(output_.get(), output_.get() + output_begin_, used);
    } else {
      std::unique_ptr<uint8_t[]> grown(new uint8_t[capacity]);
      if (used > 0) std::memcpy(grown.get(), output_.get() + output_begin_, used);
      output_ = std::move(grown);
      output_capacity_ = capacity;
    }
    output_begin_ = 0;
    output_end_ = used;
  }
  uint8_t* at = output_.get() + output_end_;
  output_end_ += size;
  output_total_ += size;
  return at;
}

void SessionImpl::AppendOutput(const uint8_t* data, size_t size) {
  if (size > 0) std::memcpy(ReserveOutput(size), data, size);
}

bool SessionImpl::Pump() {
  while (OutputSize() < kOutputTarget) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(http2_.get(), &data);
    if (size < 0) {
      Fail(absl::InternalError(
          absl::StrCat("cannot make http/2 frames: ", nghttp2_strerror(static_cast<int>(size)))));
      return false;
    }
    if (size == 0) return OutputSize() >= kOutputTarget;
    AppendOutput(data, static_cast<size_t>(size));
  }
  return true;
}

void SessionImpl::Flush() {
  size_t moved = 0;
  bool more = true;
  while (state_ == State::kOpen || state_ == State::kClosing) {
    more = Pump();
    if (state_ == State::kClosed || OutputSize() == 0) break;
    if (transport_blocked_) return;
    if (moved >= kBytesPerEvent) {
      Schedule();
      return;
    }
    const IoResult result =
        transport_->Write(absl::MakeConstSpan(output_.get() + output_begin_, OutputSize()));
    if (result.status == IoStatus::kError || result.status == IoStatus::kEof) {
      // What the peer said before the end is still worth hearing.
      ReadTransport();
      const absl::Status error = transport_->error();
      Fail(!error.ok() ? error : absl::UnavailableError("the transport is broken"));
      return;
    }
    output_begin_ += result.bytes;
    moved += result.bytes;
    if (result.status == IoStatus::kWouldBlock || result.bytes == 0) transport_blocked_ = true;
    if (result.bytes > 0) OutputMoved();
    if (!more && OutputSize() == 0) break;
  }
  if (OutputSize() == 0) {
    output_.reset();
    output_capacity_ = output_begin_ = output_end_ = 0;
  }
}

void SessionImpl::OutputMoved() {
  if (!output_watched_) return;
  output_watched_ = false;
  for (const auto& [id, stream] : streams_) stream->OnOutputTaken();
}

// ---- Upcalls and the end
// -------------------------------------------------------------------------------------------

void SessionImpl::Dispatch() {
  if (read_due_) ReadTransport();
  if (!DispatchUpcalls()) return;
  Flush();
  if (pending_end_.has_value() && state_ == State::kOpen) BeginClose(*pending_end_);
  CheckEnd();
  if (!closed_due_ || !ready_.empty()) return;
  closed_due_ = false;
  delegate_->OnSessionClosed(end_status_);  // May destroy this.
}

bool SessionImpl::DispatchUpcalls() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  std::vector<Connect> connects;
  connects.swap(connects_);
  for (Connect& connect : connects) {
    if (state_ != State::kOpen) break;
    delegate_->OnConnect(std::move(connect.stream), std::move(connect.request));
    if (destroyed) {
      connects.clear();
      return false;
    }
  }
  connects.clear();
  running_.swap(ready_);
  for (size_t i = 0; i < running_.size(); ++i) {
    TunnelStream* stream = running_[i];
    if (stream == nullptr) continue;
    running_[i] = nullptr;
    stream->queued = false;
    stream->DispatchUpcalls();
    if (destroyed) return false;
  }
  running_.clear();
  if (goaway_due_) {
    goaway_due_ = false;
    delegate_->OnGoaway();
    if (destroyed) return false;
  }
  if (streams_changed_) {
    streams_changed_ = false;
    delegate_->OnStreamsChanged();
    if (destroyed) return false;
  }
  destroyed_ = nullptr;
  return true;
}

void SessionImpl::CheckEnd() {
  if (state_ == State::kOpen && open_ == 0 &&
      ((draining_ && last_goaway_sent_) || (!server() && goaway_received_))) {
    BeginClose(peer_goaway_);
    return;
  }
  if (state_ == State::kClosing && OutputSize() == 0 &&
      nghttp2_session_want_write(http2_.get()) == 0) {
    transport_->ShutdownWrite();
    state_ = State::kLingering;
  }
  if (state_ == State::kLingering && transport_ended_ && transport_->Flushed()) {
    state_ = State::kClosed;
    timer_->Cancel();
    closed_due_ = true;
    Schedule();
  }
}

void SessionImpl::BeginClose(const absl::Status& status) {
  DCHECK(loop_->InLoopThread());
  if (state_ != State::kOpen) return;
  end_status_ = status;
  if (!pending_end_.has_value()) {
    nghttp2_session_terminate_session(http2_.get(), NGHTTP2_NO_ERROR);
  }
  BreakStreams(status.ok() ? absl::UnavailableError("the http/2 session was closed") : status);
  state_ = State::kClosing;
  timer_->Schedule(kCloseTimeout);
  Schedule();
}

void SessionImpl::Fail(const absl::Status& status) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kOpen) {
    end_status_ = status;
    BreakStreams(status);
  }
  state_ = State::kClosed;
  timer_->Cancel();
  transport_->Reset();
  closed_due_ = true;
  Schedule();
}

void SessionImpl::BreakStreams(const absl::Status& status) {
  for (const auto& [id, stream] : streams_) {
    if (!stream->closed()) stream->OnClosed(status);
  }
  open_ = 0;
  // Those nobody has seen need not be shown.
  std::vector<Connect> unseen;
  unseen.swap(connects_);
}

void SessionImpl::ArmPing() {
  if (options_.ping_interval == absl::InfiniteDuration() || state_ != State::kOpen) return;
  timer_->Schedule(options_.ping_interval);
}

void SessionImpl::OnTimer() {
  if (state_ == State::kClosing || state_ == State::kLingering) {
    // The peer does not take the rest or does not end: that is its loss.
    Fail(end_status_);
    return;
  }
  if (state_ != State::kOpen) return;
  const absl::Duration now = loop_->Now();
  if (!ping_outstanding_) {
    const absl::Duration quiet = now - last_read_;
    if (quiet < options_.ping_interval) {
      timer_->Schedule(options_.ping_interval - quiet);
      return;
    }
    nghttp2_submit_ping(http2_.get(), NGHTTP2_FLAG_NONE, kLivenessPing);
    ping_outstanding_ = true;
    ping_sent_ = now;
    timer_->Schedule(options_.ping_timeout);
    Schedule();
    return;
  }
  // Whatever the peer sends proves it alive, also when the answer waits behind bulk data.
  const absl::Duration silent = now - std::max(ping_sent_, last_read_);
  if (silent < options_.ping_timeout) {
    timer_->Schedule(options_.ping_timeout - silent);
    return;
  }
  Fail(absl::UnavailableError(absl::StrCat("the peer has been silent for ",
                                           absl::FormatDuration(silent), " after a PING")));
}

}  // namespace

std::unique_ptr<ConnectSession> ConnectSession::CreateClient(EventLoop* loop,
                                                             std::unique_ptr<ByteStream> transport,
                                                             const Options& options,
                                                             Delegate* delegate) {
  return std::make_unique<SessionImpl>(loop, std::move(transport), options, delegate,
                                       TunnelStream::Role::kClient);
}

std::unique_ptr<ConnectSession> ConnectSession::CreateServer(EventLoop* loop,
                                                             std::unique_ptr<ByteStream> transport,
                                                             const Options& options,
                                                             Delegate* delegate) {
  return std::make_unique<SessionImpl>(loop, std::move(transport), options, delegate,
                                       TunnelStream::Role::kServer);
}

}  // namespace byrnie
