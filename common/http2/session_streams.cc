// What our streams ask for.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/http2/connect_session_impl.h"

namespace byrnie {
namespace {

// RFC 9113 section 8.5: a reset of the tunnelled connection, unless there is more to say.
uint32_t ResetCodeOf(const TunnelStream& stream) {
  return stream.reset_code() != 0 ? stream.reset_code() : uint32_t{NGHTTP2_CONNECT_ERROR};
}

}  // namespace

void ConnectSessionImpl::GiveWindow(int32_t id, size_t bytes) {
  if (state_ != State::kOpen) return;
  nghttp2_submit_window_update(http2_.get(), NGHTTP2_FLAG_NONE, id, static_cast<int32_t>(bytes));
  ScheduleFlush();
}

void ConnectSessionImpl::SendReady(TunnelStream* stream) {
  if (state_ != State::kOpen) return;
  if (stream->reset_due()) {
    stream->OnResetSubmitted();
    SubmitReset(stream->id(), ResetCodeOf(*stream));
    return;
  }
  nghttp2_session_resume_data(http2_.get(), stream->id());
  ScheduleFlush();
}

void ConnectSessionImpl::PullNow(TunnelStream* stream) {
  if (state_ != State::kOpen) return;
  nghttp2_session_resume_data(http2_.get(), stream->id());
  PumpAndPass();
  ScheduleFlush();
}

size_t ConnectSessionImpl::RoomOf(int32_t id) const {
  if (state_ != State::kOpen || transport_blocked_) return 0;
  const int32_t window = std::min(nghttp2_session_get_stream_remote_window_size(http2_.get(), id),
                                  nghttp2_session_get_remote_window_size(http2_.get()));
  if (window <= 0) return 0;
  const size_t room = transport_->Room();
  return std::min(static_cast<size_t>(window), room - std::min(room, output_.size()));
}

void ConnectSessionImpl::SendAccept(int32_t id, const HeaderList& headers) {
  if (state_ != State::kOpen) return;
  NameValues values;
  values.Add(":status", "200");
  values.Add(headers);
  const nghttp2_data_provider provider = PullFromEvents();
  nghttp2_submit_response(http2_.get(), id, values.data(), values.size(), &provider);
  Schedule();
}

void ConnectSessionImpl::SendReject(int32_t id, int status, const HeaderList& headers) {
  if (state_ != State::kOpen) return;
  const std::string code = absl::StrCat(status);
  NameValues values;
  values.Add(":status", code);
  values.Add(headers);
  nghttp2_submit_response(http2_.get(), id, values.data(), values.size(), nullptr);
  Schedule();
}

void ConnectSessionImpl::SubmitPendingResets() {
  for (const auto& [id, stream] : streams_) {
    if (!stream->reset_pending()) continue;
    stream->OnResetSubmitted();
    SubmitReset(id, ResetCodeOf(*stream));
  }
}

void ConnectSessionImpl::ReturnHeldRequests() {
  // A limit that came after the requests: nghttp2 would hold them until others end, which may be
  // never. Nobody has processed them.
  if (server() || state_ != State::kOpen || open_ <= stream_limit()) return;
  std::vector<TunnelStream*> held;
  for (const auto& [id, stream] : streams_) {
    if (!stream->request_sent() && !stream->closed()) held.push_back(stream);
  }
  std::sort(held.begin(), held.end(),
            [](const TunnelStream* a, const TunnelStream* b) { return a->id() > b->id(); });
  for (TunnelStream* stream : held) {
    if (open_ <= stream_limit()) return;
    --open_;
    returned_.push_back(stream->id());
    SubmitReset(stream->id(), NGHTTP2_REFUSED_STREAM);
    stream->OnClosed(absl::AbortedError("the peer takes no more streams; not sent"));
  }
}

void ConnectSessionImpl::SubmitReset(int32_t id, uint32_t error_code) {
  nghttp2_submit_rst_stream(http2_.get(), NGHTTP2_FLAG_NONE, id, error_code);
  Schedule();
}

void ConnectSessionImpl::WantUpcalls(TunnelStream* stream) {
  if (!stream->queued) {
    stream->queued = true;
    ready_.push_back(stream);
  }
  Schedule();
}

BytePieces* ConnectSessionImpl::BeginLoan(TunnelStream* stream) {
  if (lent_ == loans_.size()) loans_.push_back({nullptr, std::make_unique<BytePieces>()});
  loans_[lent_].stream = stream;
  return loans_[lent_++].pieces.get();
}

void ConnectSessionImpl::Forget(TunnelStream* stream, bool cancel) {
  streams_.erase(stream->id());
  for (size_t i = 0; i < lent_; ++i) {
    if (loans_[i].stream != stream) continue;
    loans_[i].stream = nullptr;
    loans_[i].pieces->Clear();
  }
  if (stream->queued) {
    std::replace(ready_.begin(), ready_.end(), stream, static_cast<TunnelStream*>(nullptr));
    std::replace(running_.begin(), running_.end(), stream, static_cast<TunnelStream*>(nullptr));
  }
  if (!cancel || state_ != State::kOpen) return;
  SubmitReset(stream->id(),
              stream->reset_pending() ? ResetCodeOf(*stream) : uint32_t{NGHTTP2_CANCEL});
}

TunnelStream* ConnectSessionImpl::Find(int32_t id) const {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second;
}

}  // namespace byrnie
