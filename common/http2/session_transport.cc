// Bytes in from the transport and out to it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http2/connect_session_impl.h"
#include "common/http2/peer_fault.h"

namespace byrnie {
namespace {

constexpr size_t kReadSize = 64 * 1024;
// Less is copied, and told of with everything else at the end of the turn.
constexpr size_t kLeastLent = 32 * 1024;
// Of streams that are lent something at once, how many lists of pieces are kept for the next time.
constexpr size_t kLoansKept = 8;
constexpr size_t kBytesPerEvent = 256 * 1024;
// Answers the peer provokes and does not read.
constexpr size_t kMaxQueuedFrames = 4096;

}  // namespace

void ConnectSessionImpl::OnWritable() {
  transport_blocked_ = false;
  Schedule();
}

bool ConnectSessionImpl::ReadTransport(bool may_lend) {
  // A session that is not reading right now owns no buffer.
  uint8_t small[kReadSize];
  const ScratchPool::Block block =
      options_.scratch == nullptr ? ScratchPool::Block() : options_.scratch->Borrow();
  const absl::Span<uint8_t> buffer =
      block ? absl::MakeSpan(block.data(), ScratchPool::kBlockSize) : absl::MakeSpan(small);
  size_t moved = 0;
  read_due_ = false;
  while (state_ != State::kClosed && !transport_ended_ && !pending_end_.has_value()) {
    if (moved >= kBytesPerEvent) {
      read_due_ = true;
      break;
    }
    const IoResult result = transport_->Read(buffer);
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
      if (liveness_.OnHeard(loop_->Now())) streams_changed_ = true;
      lending_ = may_lend && result.bytes >= kLeastLent;
      Feed(buffer.first(result.bytes));
      lending_ = false;
      if (!DispatchLoans()) return false;
    }
    if (result.status == IoStatus::kWouldBlock) break;
  }
  Schedule();
  return true;
}

void ConnectSessionImpl::Feed(absl::Span<const uint8_t> data) {
  if (state_ != State::kOpen) return;  // Only the peer's end is of interest.
  const FrameTally::Counts frames = tally_.Take(data);
  const ssize_t fed = nghttp2_session_mem_recv(http2_.get(), data.data(), data.size());
  if (fed == NGHTTP2_ERR_CALLBACK_FAILURE && !flood_.empty()) {
    Fail(PeerFaultError(PeerFault::kFlood, absl::StrCat("flooded by the peer: ", flood_)));
    return;
  }
  if (fed < 0) {
    const PeerFault fault = fed == NGHTTP2_ERR_FLOODED ? PeerFault::kFlood : PeerFault::kProtocol;
    Fail(PeerFaultError(fault, absl::StrCat("http/2 error of the peer: ",
                                            nghttp2_strerror(static_cast<int>(fed)))));
    return;
  }
  if (nghttp2_session_get_outbound_queue_size(http2_.get()) > kMaxQueuedFrames) {
    Fail(PeerFaultError(PeerFault::kFlood, "the peer provokes answers and does not read them"));
    return;
  }
  NoteFrames(frames);
}

bool ConnectSessionImpl::DispatchLoans() {
  if (lent_ == 0) return true;
  bool destroyed = false;
  bool* const outer = std::exchange(destroyed_, &destroyed);
  // What ends a session or a stream is told at the end of the turn, behind what came before it.
  for (size_t i = 0; i < lent_; ++i) {
    if (loans_[i].stream != nullptr) loans_[i].stream->DispatchLoan();
    if (destroyed) {
      if (outer != nullptr) *outer = true;
      return false;
    }
    if (loans_[i].stream != nullptr) loans_[i].stream->EndLoan();
  }
  destroyed_ = outer;
  lent_ = 0;
  if (loans_.size() > kLoansKept) loans_.resize(kLoansKept);
  return true;
}

ssize_t ConnectSessionImpl::PullFrame() {
  const uint8_t* data = nullptr;
  const ssize_t size = nghttp2_session_mem_send(http2_.get(), &data);
  if (size < 0) {
    Fail(absl::InternalError(
        absl::StrCat("cannot make http/2 frames: ", nghttp2_strerror(static_cast<int>(size)))));
  } else if (size > 0) {
    output_.Append(data, static_cast<size_t>(size));
  }
  return size;
}

bool ConnectSessionImpl::Pump() {
  while (!OutputFull()) {
    const ssize_t size = PullFrame();
    if (size < 0) return false;
    if (size == 0) return OutputFull();
  }
  return true;
}

bool ConnectSessionImpl::PumpQueued() {
  ssize_t size = 0;
  do {
    size = PullFrame();
  } while (size > 0);
  return size == 0;
}

void ConnectSessionImpl::PumpAndPass() {
  while (Pump() && !transport_blocked_ && OutputFull()) {
    const IoResult result = transport_->Write(output_.bytes());
    // A broken transport says so again to the next Flush, where it is no writer's call.
    if (result.status == IoStatus::kError || result.status == IoStatus::kEof) return;
    output_.Consume(result.bytes);
    if (result.status == IoStatus::kWouldBlock || result.bytes == 0) transport_blocked_ = true;
    if (result.bytes > 0) OutputMoved();
  }
}

void ConnectSessionImpl::Flush() {
  FlushOutput();
  output_.Settle();
  output_use_.Set(output_.allocated(), output_.allocated());
}

void ConnectSessionImpl::FlushOutput() {
  size_t moved = 0;
  bool more = true;
  while (state_ == State::kOpen || state_ == State::kClosing) {
    more = Pump();
    if (state_ == State::kClosed || output_.size() == 0) break;
    if (transport_blocked_) return;
    if (moved >= kBytesPerEvent) {
      Schedule();
      return;
    }
    const IoResult result = transport_->Write(output_.bytes());
    if (result.status == IoStatus::kError || result.status == IoStatus::kEof) {
      // What the peer said before the end is still worth hearing.
      ReadTransport(/*may_lend=*/false);
      const absl::Status error = transport_->error();
      Fail(!error.ok() ? error : absl::UnavailableError("the transport is broken"));
      return;
    }
    output_.Consume(result.bytes);
    moved += result.bytes;
    if (result.status == IoStatus::kWouldBlock || result.bytes == 0) transport_blocked_ = true;
    if (result.bytes > 0) OutputMoved();
    if (!more && output_.size() == 0) break;
  }
}

void ConnectSessionImpl::OutputMoved() {
  if (!output_watched_) return;
  output_watched_ = false;
  for (const auto& [id, stream] : streams_) stream->OnOutputTaken();
}

}  // namespace byrnie
