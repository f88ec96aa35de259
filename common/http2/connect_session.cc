#include "common/http2/connect_session.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/http2/connect_session_impl.h"

namespace byrnie {
namespace {

// How long the last bytes of a session and the peer's end may take.
constexpr absl::Duration kCloseTimeout = absl::Seconds(2);

}  // namespace

ConnectSessionImpl::ConnectSessionImpl(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                                       const Options& options, Delegate* delegate,
                                       TunnelStream::Role role)
    : loop_(loop),
      delegate_(delegate),
      options_(options),
      role_(role),
      transport_(std::move(transport)),
      dispatch_(loop->NewDeferred([this] { Dispatch(); })),
      timer_(loop->NewTimer([this] { OnTimer(); })),
      output_(options.scratch),
      output_use_(options.budget, kLeastOutputTarget),
      liveness_(
          {options.ping_interval, options.ping_timeout, options.request_patience, options.silence},
          loop->Now()),
      abuse_(loop->Now()),
      idle_frames_(loop->Now(), AbuseGuard::kIdleFrameLimit),
      tally_(role == TunnelStream::Role::kServer ? NGHTTP2_CLIENT_MAGIC_LEN : 0) {
  http2_ = NewHttp2Session(role_, options_, this);
  transport_->SetObserver(this);
  ArmPing();
  Schedule();
}

ConnectSessionImpl::~ConnectSessionImpl() {
  DCHECK(loop_->InLoopThread());
  if (destroyed_ != nullptr) *destroyed_ = true;
  state_ = State::kClosed;
  transport_->SetObserver(nullptr);
  connects_.clear();
  // Their memory is still there: one of their readers destroys this.
  for (size_t i = 0; i < lent_; ++i) {
    if (loans_[i].stream != nullptr) loans_[i].stream->EndLoan();
  }
  const absl::Status gone = absl::UnavailableError("the http/2 session is gone");
  for (const auto& [id, stream] : streams_) stream->OnSessionGone(gone);
}

size_t ConnectSessionImpl::stream_limit() const {
  if (server()) return options_.max_concurrent_streams;
  return std::min(
      options_.max_concurrent_streams,
      nghttp2_session_get_remote_settings(http2_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

bool ConnectSessionImpl::CanOpenStream() const {
  if (server() || state_ != State::kOpen || draining_ || goaway_received_) return false;
  if (liveness_.silent()) return false;
  return open_ < stream_limit() && nghttp2_session_check_request_allowed(http2_.get()) != 0;
}

absl::StatusOr<std::unique_ptr<ConnectStream>> ConnectSessionImpl::OpenStream(
    const ConnectRequest& request, ResponseCallback on_response) {
  DCHECK(loop_->InLoopThread());
  DCHECK(!server());
  if (state_ != State::kOpen) return absl::UnavailableError("the http/2 session is closed");
  if (draining_ || goaway_received_ || nghttp2_session_check_request_allowed(http2_.get()) == 0) {
    return absl::UnavailableError("the http/2 session takes no new streams");
  }
  if (liveness_.silent()) return absl::DeadlineExceededError("the peer is silent");
  if (!CanOpenStream()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the http/2 session has ", open_, " streams open, which is its limit"));
  }
  NameValues values;
  values.Add(":method", "CONNECT");
  values.Add(":authority", request.authority);
  values.Add(request.headers);
  const nghttp2_data_provider provider = PullFromEvents();
  const int32_t id = nghttp2_submit_request(http2_.get(), nullptr, values.data(), values.size(),
                                            &provider, /*stream_user_data=*/this);
  if (id < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open an http/2 stream: ", nghttp2_strerror(id)));
  }
  auto stream =
      std::make_unique<TunnelStream>(loop_, this, id, TunnelStream::Role::kClient, options_);
  stream->set_on_response(std::move(on_response));
  streams_[id] = stream.get();
  ++open_;
  credit_.OnStream();
  NoteRequest();
  Schedule();
  return std::unique_ptr<ConnectStream>(std::move(stream));
}

void ConnectSessionImpl::Drain(After after) {
  DCHECK(loop_->InLoopThread());
  if (draining_ || state_ != State::kOpen) return;
  draining_ = true;
  after_ = after;
  if (server()) {
    // RFC 9113 section 6.8: streams the peer opened before it read this still count; the PING tells
    // when it has.
    if (after == After::kStays) {
      SendStayingNotice();
    } else {
      nghttp2_submit_shutdown_notice(http2_.get());
    }
    nghttp2_submit_ping(http2_.get(), NGHTTP2_FLAG_NONE, kDrainPing);
  } else {
    SubmitGoaway(nghttp2_session_get_last_proc_stream_id(http2_.get()));
    last_goaway_sent_ = true;
  }
  Schedule();
}

void ConnectSessionImpl::Close(After after) {
  if (state_ != State::kOpen) return;
  if (!draining_) after_ = after;
  BeginClose(absl::OkStatus());
}

void ConnectSessionImpl::SubmitGoaway(int32_t last_stream) {
  const absl::string_view data = after_ == After::kStays ? kStaysData : absl::string_view();
  nghttp2_submit_goaway(http2_.get(), NGHTTP2_FLAG_NONE, last_stream, NGHTTP2_NO_ERROR,
                        reinterpret_cast<const uint8_t*>(data.data()), data.size());
}

void ConnectSessionImpl::SendStayingNotice() {
  // nghttp2 would refuse streams after any GOAWAY of its own but its notice, so this one goes past
  // it: behind all it has queued, because nothing may come between the frames of a header block or
  // before its SETTINGS, and not behind a GOAWAY that ends the session for a fault, which has named
  // an earlier stream.
  if (!PumpQueued() || pending_end_.has_value()) return;
  std::string frame = {0, 0, static_cast<char>(8 + kStaysData.size()), NGHTTP2_GOAWAY, 0};
  frame.append(4, '\0');             // The stream: the session itself.
  frame.append("\x7f\xff\xff\xff");  // The last stream: any.
  frame.append(4, '\0');             // NO_ERROR.
  frame.append(kStaysData.data(), kStaysData.size());
  static_assert(8 + kStaysData.size() < 128);
  output_.Append(reinterpret_cast<const uint8_t*>(frame.data()), frame.size());
}

void ConnectSessionImpl::Dispatch() {
  if (read_due_ && !ReadTransport(/*may_lend=*/true)) return;
  flush_follows_ = true;
  if (!DispatchUpcalls()) return;
  flush_follows_ = false;
  Flush();
  ReturnHeldRequests();
  if (pending_end_.has_value() && state_ == State::kOpen) BeginClose(*pending_end_);
  CheckEnd();
  if (!closed_due_ || !ready_.empty() || !connects_.empty()) return;
  closed_due_ = false;
  delegate_->OnSessionClosed(end_status_);  // May destroy this.
}

bool ConnectSessionImpl::DispatchUpcalls() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  std::vector<Connect> connects;
  connects.swap(connects_);
  for (Connect& connect : connects) {
    if (!connect.bad.ok()) {
      // Also when the session has ended: a refusal is told.
      delegate_->OnBadRequest(std::move(connect.stream), connect.refuse_with, connect.bad);
    } else if (state_ == State::kOpen) {
      delegate_->OnConnect(std::move(connect.stream), std::move(connect.request));
    }
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

void ConnectSessionImpl::CheckEnd() {
  if (state_ == State::kOpen && open_ == 0 &&
      ((draining_ && last_goaway_sent_) || (!server() && goaway_received_))) {
    BeginClose(peer_goaway_);
    return;
  }
  if (state_ == State::kClosing && output_.size() == 0 &&
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

void ConnectSessionImpl::BeginClose(const absl::Status& status) {
  DCHECK(loop_->InLoopThread());
  if (state_ != State::kOpen) return;
  end_status_ = status;
  if (!pending_end_.has_value()) {
    // What is queued in nghttp2 when the session ends does not leave any more.
    SubmitPendingResets();
    // The GOAWAY that nghttp2 ends a session with takes no debug data: this one goes before it.
    if (after_ == After::kStays && !draining_) {
      SubmitGoaway(nghttp2_session_get_last_proc_stream_id(http2_.get()));
    }
    if (!PumpQueued()) return;
    nghttp2_session_terminate_session(http2_.get(), NGHTTP2_NO_ERROR);
  }
  BreakStreams(status.ok() ? absl::UnavailableError("the http/2 session was closed") : status);
  state_ = State::kClosing;
  timer_->Schedule(kCloseTimeout);
  Schedule();
}

void ConnectSessionImpl::Fail(const absl::Status& status) {
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

void ConnectSessionImpl::BreakStreams(const absl::Status& status) {
  for (const auto& [id, stream] : streams_) {
    if (!stream->closed()) stream->OnClosed(status);
  }
  open_ = 0;
  // Those nobody has seen need not be shown, unless they were refused.
  std::vector<Connect> unseen;
  unseen.swap(connects_);
  for (Connect& connect : unseen) {
    if (!connect.bad.ok()) connects_.push_back(std::move(connect));
  }
}

void ConnectSessionImpl::ArmPing() {
  if (liveness_.enabled() && state_ == State::kOpen) timer_->Schedule(liveness_.next());
}

void ConnectSessionImpl::NoteRequest() {
  // Between two words of the peer the timer is set once, so that the wait costs no request more.
  if (liveness_.enabled() && liveness_.OnRequest(loop_->Now())) {
    timer_->Schedule(liveness_.patience());
  }
}

bool ConnectSessionImpl::Waiting() const {
  if (server()) return false;
  for (const auto& [id, stream] : streams_) {
    if (!stream->answered() && !stream->closed()) return true;
  }
  return false;
}

void ConnectSessionImpl::FailWaiting(absl::Duration silent) {
  if (server()) return;
  const absl::Status status = absl::DeadlineExceededError(
      absl::StrCat("the peer has been silent for ",
                   absl::FormatDuration(absl::Trunc(silent, absl::Milliseconds(100))),
                   ", and did not answer a PING"));
  for (const auto& [id, stream] : streams_) {
    if (stream->answered() || stream->closed()) continue;
    // Nothing was written to it yet. The peer hears of it should it wake up.
    stream->OnClosed(status);
    SubmitReset(id, NGHTTP2_CANCEL);
  }
}

void ConnectSessionImpl::OnTimer() {
  if (state_ == State::kClosing || state_ == State::kLingering) {
    // The peer does not take the rest or does not end: that is its loss.
    Fail(end_status_);
    return;
  }
  // What came while this process itself did not run counts.
  if (state_ == State::kOpen && liveness_.asked()) ReadTransport(/*may_lend=*/false);
  if (state_ != State::kOpen) return;
  const Liveness::Look look = liveness_.OnTimer(loop_->Now(), Waiting());
  switch (look.verdict) {
    case Liveness::Verdict::kWait:
      timer_->Schedule(look.next);
      break;
    case Liveness::Verdict::kSendPing:
      nghttp2_submit_ping(http2_.get(), NGHTTP2_FLAG_NONE, kLivenessPing);
      timer_->Schedule(look.next);
      Schedule();
      break;
    case Liveness::Verdict::kSilent:
      timer_->Schedule(look.next);
      FailWaiting(look.silent);
      break;
    case Liveness::Verdict::kDead:
      Fail(absl::UnavailableError(absl::StrCat(
          "the peer has been silent for ", absl::FormatDuration(look.silent), " after a PING")));
      break;
  }
}

void ConnectSession::Delegate::OnBadRequest(std::unique_ptr<ConnectStream> stream, int http_status,
                                            const absl::Status&) {
  if (stream != nullptr) stream->Reject(http_status);
}

std::unique_ptr<ConnectSession> ConnectSession::CreateClient(EventLoop* loop,
                                                             std::unique_ptr<ByteStream> transport,
                                                             const Options& options,
                                                             Delegate* delegate) {
  return std::make_unique<ConnectSessionImpl>(loop, std::move(transport), options, delegate,
                                              TunnelStream::Role::kClient);
}

std::unique_ptr<ConnectSession> ConnectSession::CreateServer(EventLoop* loop,
                                                             std::unique_ptr<ByteStream> transport,
                                                             const Options& options,
                                                             Delegate* delegate) {
  return std::make_unique<ConnectSessionImpl>(loop, std::move(transport), options, delegate,
                                              TunnelStream::Role::kServer);
}

}  // namespace byrnie
