#include "common/net/tcp_stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/net/byte_pieces.h"
#include "common/net/socket.h"

namespace byrnie {
namespace {

// The kernel does not tell when its send queue has been acknowledged, so that a reset asks, more
// and more rarely.
constexpr absl::Duration kFirstResetPoll = absl::Milliseconds(5);
constexpr absl::Duration kLongestResetPoll = absl::Milliseconds(100);
// For a reader that takes nothing; one that does is waited for.
constexpr absl::Duration kResetPatience = absl::Seconds(5);
// The first look for a stall is put off to a whole multiple of this: thousands of connections that
// have each written something wake their loop a few times a second, not thousands of times.
constexpr absl::Duration kStallGrain = absl::Milliseconds(250);

// Sent in one system call, of which Linux takes 1024.
constexpr size_t kMostPieces = BytePieces::kMost;

}  // namespace

struct TcpStream::ResetProgress {
  std::unique_ptr<EventLoop::Timer> timer;
  absl::Duration poll = kFirstResetPoll;
  int unsent = 0;  // When something of it moved on last, and when that was.
  absl::Duration moved_at;
};

struct TcpStream::StallWatch {
  std::unique_ptr<EventLoop::Timer> timer;
  StallDetector detector;
};

absl::StatusOr<std::unique_ptr<TcpStream>> TcpStream::Create(EventLoop* loop, UniqueFd fd) {
  if (!IsIpSocket(fd.get())) return CreateConfigured(loop, std::move(fd), Family::kUnix);
  RETURN_IF_ERROR(SetTcpOptions(fd.get()));
  return CreateConfigured(loop, std::move(fd), Family::kTcp);
}

absl::StatusOr<std::unique_ptr<TcpStream>> TcpStream::CreateConfigured(
    EventLoop* loop, UniqueFd fd, Family family, std::unique_ptr<const SocketAddress> source) {
  std::unique_ptr<TcpStream> stream(new TcpStream(loop, std::move(fd), family));
  TcpStream* raw = stream.get();
  raw->source_ = std::move(source);
  ASSIGN_OR_RETURN(stream->watch_, loop->Watch(raw->fd_.get(), [raw](EventLoop::FdEvents events) {
    raw->OnFdEvents(events);
  }));
  return stream;
}

TcpStream::TcpStream(EventLoop* loop, UniqueFd fd, Family family)
    : loop_(loop),
      fd_(std::move(fd)),
      readable_(false),
      writable_(false),
      read_waiting_(true),
      write_waiting_(false),
      eof_(false),
      write_shut_(false),
      reset_(false),
      lost_(false),
      hears_of_loss_(false),
      resets_if_abandoned_(false),
      // Unix sockets stop short at descriptors that come with the bytes, and no edge tells.
      short_reads_drain_(family == Family::kTcp) {}

TcpStream::~TcpStream() {
  DCHECK(loop_->InLoopThread());
  if (destroyed_ != nullptr) *destroyed_ = true;
  watch_.reset();
  // A stream dropped in mid-air must not look to the peer like one that ended.
  const bool reset = reset_ || !write_shut_;
  if (fd_ && reset != resets_if_abandoned_) SetResetOnClose(fd_.get(), reset);
}

void TcpStream::SetObserver(Observer* observer) {
  DCHECK(loop_->InLoopThread());
  observer_ = observer;
  if (observer == nullptr) return;
  // Whoever is new has not tried yet.
  read_waiting_ = true;
  if (readable_ || (write_waiting_ && writable_)) {
    if (notify_ == nullptr) {
      notify_ = loop_->NewDeferred([this] {
        notify_.reset();
        Dispatch();
      });
    }
    notify_->Schedule();
  }
}

void TcpStream::OnFdEvents(EventLoop::FdEvents events) {
  readable_ |= events.readable;
  writable_ |= events.writable;
  if (events.beyond_data) short_reads_drain_ = false;
  if (events.error && reset_) {
    FinishReset();
    return;
  }
  // Before the end was read, Read meets the error after the data in front of it. After the end
  // nobody reads any more, and the reset of a half-closed connection would go unnoticed until the
  // next write.
  if (events.failed && eof_ && error_ == 0) {
    error_ = static_cast<int16_t>(TakeSocketError(fd_.get()));
    if (error_ != 0) read_waiting_ = true;
  }
  if (events.failed && !lost_) {
    lost_ = true;
    if (hears_of_loss_) read_waiting_ = true;
  }
  Dispatch();
}

void TcpStream::Dispatch() {
  bool destroyed = false;
  bool* const outer = std::exchange(destroyed_, &destroyed);
  if (observer_ != nullptr && read_waiting_ && readable_) {
    read_waiting_ = false;
    observer_->OnReadable();
  }
  if (!destroyed && observer_ != nullptr && write_waiting_ && writable_) {
    write_waiting_ = false;
    observer_->OnWritable();
  }
  if (destroyed) {
    if (outer != nullptr) *outer = true;
    return;
  }
  destroyed_ = outer;
}

IoResult TcpStream::Fail(int error) {
  if (error_ == 0) error_ = static_cast<int16_t>(error);
  // What is broken stays worth trying: a later observer learns it at once.
  readable_ = true;
  writable_ = true;
  return {0, IoStatus::kError};
}

IoResult TcpStream::Read(absl::Span<uint8_t> buffer) {
  DCHECK(loop_->InLoopThread());
  if (reset_) return {0, IoStatus::kError};
  if (eof_) return {0, error_ == 0 ? IoStatus::kEof : IoStatus::kError};
  if (buffer.empty()) return {0, IoStatus::kOk};
  while (true) {
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      const size_t bytes = static_cast<size_t>(n);
      if (bytes < buffer.size() && short_reads_drain_ && error_ == 0) return ReadLater(bytes);
      return {bytes, IoStatus::kOk};
    }
    if (n == 0) {
      // After a write met the reset the kernel has no error left and shows an end that is none.
      if (error_ != 0) return {0, IoStatus::kError};
      eof_ = true;
      LeaveTheRestToTheKernel();
      return {0, IoStatus::kEof};
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(errno);
    if (error_ != 0) return {0, IoStatus::kError};
    return ReadLater(0);
  }
}

IoResult TcpStream::ReadLater(size_t bytes) {
  readable_ = false;
  read_waiting_ = true;
  return {bytes, IoStatus::kWouldBlock};
}

IoResult TcpStream::Write(absl::Span<const uint8_t> data) {
  DCHECK(loop_->InLoopThread());
  if (reset_ || write_shut_ || error_ != 0) return {0, IoStatus::kError};
  size_t written = 0;
  absl::optional<IoResult> stopped;
  while (written < data.size() && !stopped.has_value()) {
    const ssize_t n = send(fd_.get(), data.data() + written, data.size() - written, MSG_NOSIGNAL);
    if (Sent(n, written, &stopped)) written += static_cast<size_t>(n);
  }
  return stopped.value_or(IoResult{written, IoStatus::kOk});
}

IoResult TcpStream::WritePieces(absl::Span<const absl::Span<const uint8_t>> pieces) {
  DCHECK(loop_->InLoopThread());
  if (reset_ || write_shut_ || error_ != 0) return {0, IoStatus::kError};
  size_t written = 0;
  size_t begun = 0;  // Of the first piece, what has been sent.
  absl::optional<IoResult> stopped;
  while (!pieces.empty() && !stopped.has_value()) {
    iovec vectors[kMostPieces];
    const size_t count = std::min(pieces.size(), kMostPieces);
    for (size_t i = 0; i < count; ++i) {
      // sendmsg(2) only reads what this points to.
      vectors[i] = {const_cast<uint8_t*>(pieces[i].data()), pieces[i].size()};
    }
    vectors[0] = {const_cast<uint8_t*>(pieces[0].data()) + begun, pieces[0].size() - begun};
    msghdr message = {};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t n = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (!Sent(n, written, &stopped)) continue;
    written += static_cast<size_t>(n);
    begun += static_cast<size_t>(n);
    while (!pieces.empty() && begun >= pieces[0].size()) {
      begun -= pieces[0].size();
      pieces.remove_prefix(1);
    }
  }
  return stopped.value_or(IoResult{written, IoStatus::kOk});
}

bool TcpStream::Sent(ssize_t result, size_t written, absl::optional<IoResult>* stopped) {
  if (result >= 0) {
    WatchForStall();
    return true;
  }
  if (errno == EAGAIN) {
    writable_ = false;
    write_waiting_ = true;
    *stopped = {written, IoStatus::kWouldBlock};
  } else if (errno != EINTR) {
    *stopped = Fail(errno);
  }
  return false;
}

size_t TcpStream::Room() const { return fd_ && writable_ && error_ == 0 ? SendRoom(fd_.get()) : 0; }

void TcpStream::WatchForStall() {
  if (stall_watch_ != nullptr) return;
  stall_watch_ = std::make_unique<StallWatch>();
  stall_watch_->timer = loop_->NewTimer([this] { CheckForStall(); });
  const absl::Duration now = loop_->Now();
  stall_watch_->timer->Schedule(absl::Ceil(now + StallDetector::kInterval, kStallGrain) - now);
}

void TcpStream::CheckForStall() {
  const absl::optional<StallDetector::Progress> progress =
      reset_ || error_ != 0 || UnsentBytes(fd_.get()) == 0 ? absl::nullopt
                                                           : AcknowledgementProgress(fd_.get());
  if (!progress.has_value()) {
    stall_watch_.reset();
    return;
  }
  if (!stall_watch_->detector.IsGone(*progress)) {
    stall_watch_->timer->Schedule(StallDetector::kInterval);
    return;
  }
  stall_watch_.reset();
  Fail(ETIMEDOUT);
  read_waiting_ = true;
  write_waiting_ = true;
  Dispatch();
}

void TcpStream::ShutdownWrite() {
  DCHECK(loop_->InLoopThread());
  if (reset_ || write_shut_) return;
  write_shut_ = true;
  WatchForStall();
  // Fails only when the connection is gone already, which Read and Write tell.
  shutdown(fd_.get(), SHUT_WR);
  LeaveTheRestToTheKernel();
}

void TcpStream::Reset() {
  DCHECK(loop_->InLoopThread());
  if (reset_) return;
  reset_ = true;
  const int unsent = error_ != 0 ? 0 : UnsentBytes(fd_.get());
  if (unsent == 0) {
    FinishReset();
    return;
  }
  reset_progress_ = std::make_unique<ResetProgress>();
  reset_progress_->unsent = unsent;
  reset_progress_->moved_at = loop_->Now();
  reset_progress_->timer = loop_->NewTimer([this] { PollReset(); });
  reset_progress_->timer->Schedule(reset_progress_->poll);
}

void TcpStream::PollReset() {
  const int unsent = UnsentBytes(fd_.get());
  if (unsent != std::exchange(reset_progress_->unsent, unsent)) {
    reset_progress_->moved_at = loop_->Now();
  }
  if (unsent == 0 || loop_->Now() - reset_progress_->moved_at >= kResetPatience) {
    FinishReset();
    return;
  }
  reset_progress_->poll = std::min(reset_progress_->poll * 2, kLongestResetPoll);
  reset_progress_->timer->Schedule(reset_progress_->poll);
}

void TcpStream::FinishReset() {
  const bool was_waiting = reset_progress_ != nullptr;
  reset_progress_.reset();
  watch_.reset();
  if (fd_) SetResetOnClose(fd_.get());
  fd_.reset();
  // Flushed() has become true; when it was true at once the caller of Reset() sees it.
  if (was_waiting && observer_ != nullptr) observer_->OnWritable();
}

bool TcpStream::Flushed() const { return reset_progress_ == nullptr; }

uint64_t TcpStream::Undelivered() const {
  const uint64_t queued =
      fd_ && error_ == 0 ? static_cast<uint64_t>(std::max(0, UnsentBytes(fd_.get()))) : 0;
  return Flushed() ? queued : queued + 1;
}

absl::Duration TcpStream::Unheard() const {
  return fd_ && error_ == 0 ? SinceHeard(fd_.get()) : absl::InfiniteDuration();
}

absl::Duration TcpStream::ShortestRoundTrip() const {
  return fd_ ? byrnie::ShortestRoundTrip(fd_.get()) : absl::ZeroDuration();
}

absl::Status TcpStream::error() const {
  if (error_ != 0) return ConnectionError(error_, "connection lost");
  if (reset_) return absl::CancelledError("connection was reset by this side");
  return absl::OkStatus();
}

bool TcpStream::Lost() const { return lost_ || error_ != 0; }

void TcpStream::HearOfLoss(bool hears) { hears_of_loss_ = hears; }

void TcpStream::ResetIfAbandoned() {
  if (!fd_ || resets_if_abandoned_ || (write_shut_ && eof_)) return;
  resets_if_abandoned_ = true;
  SetResetOnClose(fd_.get());
}

void TcpStream::LeaveTheRestToTheKernel() {
  if (!resets_if_abandoned_ || !write_shut_ || !eof_) return;
  resets_if_abandoned_ = false;
  SetResetOnClose(fd_.get(), false);
}

void TcpStream::ShortenKeepalive() {
  if (fd_) SetShortKeepalive(fd_.get());
}

int TcpStream::fd() const { return fd_.get(); }

absl::StatusOr<SocketAddress> TcpStream::LocalAddress() const {
  return LocalSocketAddress(fd_.get());
}

absl::StatusOr<SocketAddress> TcpStream::RemoteAddress() const {
  if (source_ != nullptr) return *source_;
  return PeerSocketAddress(fd_.get());
}

}  // namespace byrnie
