// What the peer does.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/http2/connect_session_impl.h"
#include "common/http2/peer_end.h"
#include "common/http2/peer_fault.h"

namespace byrnie {
namespace {

constexpr size_t kFrameHeader = 9;
// Of the peer's words, in an error.
constexpr size_t kMaxQuoted = 32;
// Header blocks that are too large are read to their end, for what they say to the decoder, and
// answered. A few bytes may stand for a kilobyte in them, and reading that costs as if it were
// sent: what is so many times too large ends the session instead.
constexpr size_t kFarTooLarge = 8;

// RFC 9113 section 7 has names up to 0xd; whoever needs more takes a number.
std::string TextOfErrorCode(uint32_t code) {
  if (code <= NGHTTP2_HTTP_1_1_REQUIRED) return nghttp2_http2_strerror(code);
  return absl::StrCat("error 0x", absl::Hex(code));
}

// Of the GOAWAY that ends a session for what the peer did. nghttp2's own limit of resets says that
// it is an internal error.
PeerFault FaultOfGoaway(uint32_t error_code) {
  return error_code == NGHTTP2_ENHANCE_YOUR_CALM || error_code == NGHTTP2_INTERNAL_ERROR
             ? PeerFault::kFlood
             : PeerFault::kProtocol;
}

}  // namespace

int ConnectSessionImpl::OnBeginHeaders() {
  block_ = HeaderBlock();
  return 0;
}

int ConnectSessionImpl::OnHeader(absl::string_view name, absl::string_view value) {
  block_.Add(name, value, options_.max_header_list_size);
  if (block_.size <= kFarTooLarge * options_.max_header_list_size) return 0;
  flood_ = "headers that come to many times what is taken";
  // Ends the reading of this very block, and the session with it.
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int ConnectSessionImpl::OnFrameReceived(const nghttp2_frame* frame) {
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
      if (end_stream || frame->hd.length > frame->data.padlen) {
        if (FrameTally::MayBeEmpty(frame->hd.length, frame->hd.flags)) ++useful_frames_;
      }
      if (end_stream) {
        if (TunnelStream* stream = Find(id)) stream->OnEndStream();
      } else {
        // Padding takes from the window and never gets to a reader.
        if (frame->data.padlen > 0) GiveWindow(id, frame->data.padlen);
      }
      break;
    case NGHTTP2_WINDOW_UPDATE:
      // Before the output is made, so that what the writer has goes with what waits.
      if (TunnelStream* stream = Find(id)) stream->OnWindow();
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
      // nghttp2 takes no more of these than it has asked for.
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++useful_frames_;
      OnSettingsOrClose(/*could_open=*/false);
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) break;
      if (pings_sent_ > 0) {
        --pings_sent_;
        ++useful_frames_;
      }
      if (std::memcmp(frame->ping.opaque_data, kLivenessPing, sizeof(kLivenessPing)) == 0) {
        if (liveness_.OnAnswer(loop_->Now())) ArmPing();
      } else if (draining_ && !last_goaway_sent_ &&
                 std::memcmp(frame->ping.opaque_data, kDrainPing, sizeof(kDrainPing)) == 0) {
        // The peer has read the notice: what it opened before is known by now.
        SubmitGoaway(nghttp2_session_get_last_proc_stream_id(http2_.get()));
        last_goaway_sent_ = true;
      }
      break;
    case NGHTTP2_GOAWAY:
      // The first one counts: the last, which ends the session, has no more to say.
      if (!goaway_received_) {
        goaway_due_ = true;
        peer_stays_ = frame->goaway.error_code == NGHTTP2_NO_ERROR &&
                      absl::string_view(reinterpret_cast<const char*>(frame->goaway.opaque_data),
                                        frame->goaway.opaque_data_len) == kStaysData;
      }
      goaway_received_ = true;
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        peer_goaway_ = PeerEndError({PeerEnd::Of::kSession, frame->goaway.error_code},
                                    absl::StrCat("the peer ended the http/2 session: ",
                                                 TextOfErrorCode(frame->goaway.error_code)));
      }
      Schedule();
      break;
    default:
      break;
  }
  return 0;
}

void ConnectSessionImpl::OnRequest(int32_t id, bool end_stream) {
  if (state_ != State::kOpen) return;
  int refuse_with = 0;
  absl::Status bad;
  if (block_.too_large) {
    refuse_with = 431;
    bad = absl::InvalidArgumentError(absl::StrCat("the request's headers are larger than ",
                                                  options_.max_header_list_size, " bytes"));
  } else if (block_.method != "CONNECT" || block_.authority.empty()) {
    refuse_with = 400;
    bad = absl::InvalidArgumentError(
        absl::StrCat("the request is ", absl::string_view(block_.method).substr(0, kMaxQuoted),
                     ", not CONNECT"));
  }
  if (!bad.ok()) {
    NoteAbuse();
    // Nobody can have more said of it than the guard lets it do.
    if (!flood_.empty()) return;
  }
  nghttp2_session_set_stream_user_data(http2_.get(), id, this);
  ++open_;
  credit_.OnStream();
  auto stream =
      std::make_unique<TunnelStream>(loop_, this, id, TunnelStream::Role::kServer, options_);
  streams_[id] = stream.get();
  if (end_stream) stream->OnEndStream();
  connects_.push_back({std::move(stream),
                       ConnectRequest{std::move(block_.authority), std::move(block_.headers)},
                       refuse_with, std::move(bad)});
  Schedule();
}

void ConnectSessionImpl::OnAnswer(int32_t id, bool end_stream) {
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

int ConnectSessionImpl::OnFrameSent(const nghttp2_frame* frame) {
  const int32_t id = frame->hd.stream_id;
  const bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_DATA:
      credit_.OnDataSent(frame->hd.length);
      if (TunnelStream* stream = Find(id)) {
        // An empty frame is still to be appended by Pump; others have been by OnSendData.
        if (end_stream) {
          stream->OnEndSent(output_.end_mark() + (frame->hd.length == 0 ? kFrameHeader : 0));
        }
        if (stream->reset_due()) SendReady(stream);
      }
      break;
    case NGHTTP2_HEADERS:
      if (TunnelStream* stream = Find(id)) {
        server() ? stream->OnAnswerSent() : stream->OnRequestSent();
        if (stream->reset_due()) SendReady(stream);
      }
      // The answer to a refused request is complete: the rest of the request is not wanted (RFC
      // 9113 section 8.1).
      if (server() && end_stream &&
          nghttp2_session_get_stream_remote_close(http2_.get(), id) == 0) {
        SubmitReset(id, NGHTTP2_NO_ERROR);
      }
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++pings_sent_;
      break;
    case NGHTTP2_RST_STREAM: {
      if (TunnelStream* stream = Find(id)) {
        stream->OnResetSent(output_.end_mark() + kFrameHeader + frame->hd.length);
      }
      if (server()) NoteRefused(id, frame->rst_stream.error_code);
      break;
    }
    case NGHTTP2_GOAWAY:
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !pending_end_.has_value()) {
        EndAtFault(frame->goaway.error_code,
                   absl::string_view(reinterpret_cast<const char*>(frame->goaway.opaque_data),
                                     frame->goaway.opaque_data_len));
      }
      break;
    default:
      break;
  }
  return 0;
}

int ConnectSessionImpl::OnDataChunk(int32_t id, absl::Span<const uint8_t> data) {
  // The connection's window is given back at once: what a stream may hold is bounded by its own,
  // and a slow reader takes nothing from the others.
  nghttp2_session_consume_connection(http2_.get(), data.size());
  // Without a stream its reset is queued.
  if (TunnelStream* stream = Find(id)) stream->OnData(data, lending_);
  return 0;
}

int ConnectSessionImpl::OnStreamClose(int32_t id, uint32_t error_code) {
  const bool peer_reset = peer_reset_id_ == id;
  if (peer_reset) peer_reset_id_ = 0;
  const bool could_open = CanOpenStream();
  const auto returned = std::find(returned_.begin(), returned_.end(), id);
  if (returned != returned_.end()) {
    returned_.erase(returned);
  } else if (nghttp2_session_get_stream_user_data(http2_.get(), id) != nullptr && open_ > 0) {
    --open_;
  }
  if (TunnelStream* stream = Find(id)) {
    absl::Status status;
    bool stopped = false;
    if (stream->reset_submitted()) {
      // Ours; what was to be said has been said.
    } else if (error_code == NGHTTP2_REFUSED_STREAM && !server() && !stream->answered()) {
      // RFC 9113 section 8.7.
      status = absl::AbortedError("the peer did not process the request");
    } else if (peer_reset) {
      stopped = error_code == NGHTTP2_NO_ERROR && stream->end_received();
      status =
          PeerEndError({PeerEnd::Of::kStream, error_code},
                       absl::StrCat("the peer reset the stream: ", TextOfErrorCode(error_code)));
    } else if (error_code != NGHTTP2_NO_ERROR) {
      status = absl::UnavailableError(
          absl::StrCat("the stream was closed: ", nghttp2_http2_strerror(error_code)));
    } else if (!stream->answered()) {
      status = absl::UnavailableError("the stream was closed without an answer");
    }
    if (stopped) {
      stream->OnStopped(status);
    } else {
      stream->OnClosed(status);
    }
    const auto unseen =
        std::find_if(connects_.begin(), connects_.end(),
                     [stream](const Connect& c) { return c.stream.get() == stream; });
    if (unseen != connects_.end()) connects_.erase(unseen);
  }
  OnSettingsOrClose(could_open);
  return 0;
}

void ConnectSessionImpl::OnSettingsOrClose(bool could_open) {
  if (state_ != State::kOpen) return;
  if (open_ == 0 || (!could_open && CanOpenStream())) {
    streams_changed_ = true;
    Schedule();
  }
}

ssize_t ConnectSessionImpl::OnPullData(int32_t id, size_t length, uint32_t* flags) {
  if (OutputFull()) return NGHTTP2_ERR_PAUSE;
  TunnelStream* stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;  // Its reset is queued.
  const size_t size = std::min(length, stream->sendable());
  const bool end = stream->ends_after(size);
  if (size == 0 && !end) return NGHTTP2_ERR_DEFERRED;
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (end) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

int ConnectSessionImpl::OnSendData(const nghttp2_frame* frame, const uint8_t* header,
                                   size_t length) {
  TunnelStream* stream = Find(frame->hd.stream_id);
  // Follows OnPullData in one call of nghttp2, so the stream and its bytes are still there; we ask
  // for no padding.
  CHECK(stream != nullptr && stream->sendable() >= length);
  output_.Append(header, kFrameHeader);
  stream->TakeSendable(absl::MakeSpan(output_.Reserve(length), length));
  stream->OnSent(output_.end_mark());
  return 0;
}

void ConnectSessionImpl::NoteFrames(FrameTally::Counts counts) {
  // Both count a frame when it is whole.
  const size_t useful = std::min(std::exchange(useful_frames_, 0), counts.others);
  const size_t empty = counts.others - useful;
  const size_t unpaid = credit_.Spend(counts.of_streams);
  if (state_ != State::kOpen || empty + unpaid == 0) return;
  if (!idle_frames_.Note(loop_->Now(), open_, empty + unpaid)) return;
  EndFlood(
      empty >= unpaid
          ? "too many frames that carry nothing (PING, SETTINGS, PRIORITY, empty DATA, unknown)"
          : "too many frames about streams (WINDOW_UPDATE, RST_STREAM, HEADERS) for what was "
            "sent and opened");
}

void ConnectSessionImpl::EndFlood(absl::string_view of_what) {
  flood_ = of_what;
  nghttp2_session_terminate_session(http2_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
  EndAtFault(NGHTTP2_ENHANCE_YOUR_CALM, of_what);
}

void ConnectSessionImpl::EndAtFault(uint32_t error_code, absl::string_view why) {
  pending_end_ =
      PeerFaultError(FaultOfGoaway(error_code),
                     absl::StrCat("http/2 error of the peer: ", nghttp2_http2_strerror(error_code),
                                  why.empty() ? "" : ": ", why));
  Schedule();
}

void ConnectSessionImpl::NoteRefused(int32_t id, uint32_t error_code) {
  const bool past_limit = error_code == NGHTTP2_REFUSED_STREAM;
  if (!past_limit && error_code != NGHTTP2_PROTOCOL_ERROR &&
      error_code != NGHTTP2_FLOW_CONTROL_ERROR && error_code != NGHTTP2_STREAM_CLOSED) {
    return;
  }
  NoteAbuse();
  // Streams that were shown tell of their own end.
  const bool malformed = error_code == NGHTTP2_PROTOCOL_ERROR &&
                         nghttp2_session_find_stream(http2_.get(), id) != nullptr &&
                         nghttp2_session_get_stream_user_data(http2_.get(), id) == nullptr;
  if (!flood_.empty() || (!past_limit && !malformed)) return;
  connects_.push_back(
      {nullptr, ConnectRequest(), 0,
       past_limit ? absl::ResourceExhaustedError(absl::StrCat(
                        options_.max_concurrent_streams, " streams are open through the tunnel"))
                  : absl::InvalidArgumentError(
                        "a malformed request: its header fields are not those of a CONNECT")});
  Schedule();
}

void ConnectSessionImpl::NoteAbuse() {
  if (abuse_.Note(loop_->Now(), open_)) {
    EndFlood("too many streams that were reset before the answer, or broke the rules");
  }
}

}  // namespace byrnie
