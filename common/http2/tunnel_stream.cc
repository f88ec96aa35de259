#include "common/http2/tunnel_stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {

struct TunnelStream::Response {
  absl::Status status;
  int http_status = 0;
  HeaderList headers;
};

namespace {

absl::Status StatusOfResponse(int http_status) {
  const std::string message = absl::StrCat("the peer answered CONNECT with ", http_status);
  switch (http_status) {
    case 400:
      return absl::InvalidArgumentError(message);
    case 401:
    case 403:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

TunnelStream::TunnelStream(EventLoop* loop, Session* session, int32_t id, Role role,
                           const ConnectSession::Options& options)
    : loop_(loop),
      session_(session),
      received_use_(options.budget, options.least_window),
      unsent_use_(options.budget, kLeastSendLimit),
      id_(id),
      role_(role),
      wide_window_(std::max(options.wide_window, options.stream_window)),
      most_window_(options.stream_window),
      wanted_window_(std::min(kFirstWindow, options.stream_window)),
      credit_(static_cast<int32_t>(options.least_window)) {
  CountReceived();
}

TunnelStream::~TunnelStream() {
  DCHECK(loop_->InLoopThread());
  if (destroyed_ != nullptr) *destroyed_ = true;
  // What we rejected is on its way to its end by itself; a cancel would overtake the answer.
  const bool rejected = role_ == Role::kServer && refused_;
  if (session_ != nullptr) session_->Forget(this, !closed_ && !rejected && !reset_submitted_);
}

void TunnelStream::SetObserver(Observer* observer) {
  DCHECK(loop_->InLoopThread());
  observer_ = observer;
  readable_due_ = false;
  writable_due_ = false;
  read_waiting_ = true;
  write_waiting_ = true;
  if (observer == nullptr) return;
  if (unread() > 0 || end_received_ || !error_.ok()) NotifyReadable();
  if (!error_.ok() || (opened_ && unsent_.size() < unsent_use_.Limit(kSendLimit))) {
    NotifyWritable();
  }
}

IoResult TunnelStream::Read(absl::Span<uint8_t> buffer) {
  DCHECK(loop_->InLoopThread());
  if (reset_ || refused_) return {0, IoStatus::kError};
  if (buffer.empty()) return {0, IoStatus::kOk};
  if (opened_ && unread() > 0) {
    EndLoan();
    const size_t bytes = received_.Take(buffer);
    NoteRead(bytes);
    return {bytes, IoStatus::kOk};
  }
  if (!error_.ok() && !end_stands_) return {0, IoStatus::kError};
  if (opened_ && end_received_) return {0, IoStatus::kEof};
  read_waiting_ = true;
  return {0, IoStatus::kWouldBlock};
}

absl::Span<const absl::Span<const uint8_t>> TunnelStream::Peek() const {
  const bool shows = loan_ != nullptr && opened_ && received_.empty() && !reset_ && !refused_;
  return shows ? loan_->pieces() : absl::Span<const absl::Span<const uint8_t>>();
}

void TunnelStream::Skip(size_t bytes) {
  DCHECK(loop_->InLoopThread());
  if (bytes == 0) return;
  DCHECK(loan_ != nullptr && bytes <= loan_->size());
  loan_->Skip(bytes);
  NoteRead(bytes);
}

void TunnelStream::NoteRead(size_t bytes) {
  read_since_growth_ += bytes;
  // It is what the peer waits for, and the reader keeps up; or it may soon be, on a path where
  // updates are as fast as bytes and small windows make small frames.
  if (unread() == 0 &&
      (window_used_up_ || (read_since_growth_ >= wanted_window_ && received_use_.Plenty()))) {
    window_used_up_ = false;
    read_since_growth_ = 0;
    GrowWindow();
  }
  GiveWindow();
}

IoResult TunnelStream::Write(absl::Span<const uint8_t> data) {
  DCHECK(loop_->InLoopThread());
  if (!error_.ok() || reset_ || refused_ || shutdown_) return {0, IoStatus::kError};
  if (!opened_ || session_ == nullptr) {
    write_waiting_ = true;
    return {0, IoStatus::kWouldBlock};
  }
  if (data.empty()) return {0, IoStatus::kOk};
  // Straight into the session's output: no copy is kept of what fits there.
  borrowed_ = data;
  session_->PullNow(this);
  const size_t taken = data.size() - borrowed_.size();
  borrowed_ = {};
  data.remove_prefix(taken);
  if (!error_.ok()) return {0, IoStatus::kError};
  if (data.empty()) return {taken, IoStatus::kOk};
  const size_t limit = unsent_use_.Limit(kSendLimit);
  const size_t room = limit - std::min(limit, unsent_.size());
  const size_t kept = std::min(room, data.size());
  unsent_.Append(data.first(kept));
  CountUnsent();
  if (kept > 0) session_->SendReady(this);
  if (kept == data.size()) return {taken + kept, IoStatus::kOk};
  write_waiting_ = true;
  return {taken + kept, IoStatus::kWouldBlock};
}

size_t TunnelStream::Room() const {
  return opened_ && session_ != nullptr && unsent_.empty() ? session_->RoomOf(id_) : 0;
}

void TunnelStream::ShutdownWrite() {
  DCHECK(loop_->InLoopThread());
  if (shutdown_ || reset_ || refused_ || !error_.ok()) return;
  shutdown_ = true;
  if (session_ != nullptr) session_->SendReady(this);
}

void TunnelStream::ResetWith(uint32_t code) {
  DCHECK(loop_->InLoopThread());
  if (code != 0) reset_code_ = code;
  if (reset_ || refused_ || !error_.ok()) return;
  reset_ = true;
  if (closed_) return;  // Both ends are through already.
  if (session_ == nullptr) return;
  // Nobody reads these any more.
  DropUnread();
  GiveWindow();
  session_->SendReady(this);
}

bool TunnelStream::Flushed() const {
  DCHECK(loop_->InLoopThread());
  if (!error_.ok() || session_ == nullptr) return true;
  const bool through = unsent_.empty() && (!shutdown_ || end_sent_ || reset_ || closed_) &&
                       (!reset_ || reset_sent_ || closed_) &&
                       session_->OutputBefore(sent_mark_) == 0;
  if (!through && !flush_waiting_) {
    flush_waiting_ = true;
    session_->WatchOutput();
  }
  return through;
}

uint64_t TunnelStream::Undelivered() const {
  if (Flushed()) return 0;
  return 1 + unsent_.size() + session_->OutputBefore(sent_mark_);
}

absl::Duration TunnelStream::Unheard() const {
  const bool asked = error_.ok() && session_ != nullptr && session_->AsksWhetherPeerLives();
  return asked ? absl::ZeroDuration() : absl::InfiniteDuration();
}

absl::Status TunnelStream::error() const { return error_; }

void TunnelStream::Accept(const HeaderList& headers) {
  DCHECK(loop_->InLoopThread());
  DCHECK(role_ == Role::kServer && !opened_);
  if (!error_.ok() || reset_ || refused_ || closed_ || session_ == nullptr) return;
  opened_ = true;
  session_->SendAccept(id_, headers);
  OpenWindow();  // Not before, so that it needs no packet of its own.
  if (unread() > 0 || end_received_) NotifyReadable();
  NotifyWritable();
  if (shutdown_) session_->SendReady(this);
}

void TunnelStream::Reject(int status, const HeaderList& headers) {
  DCHECK(loop_->InLoopThread());
  DCHECK(role_ == Role::kServer && !opened_);
  if (!error_.ok() || reset_ || refused_ || closed_ || session_ == nullptr) return;
  DropUnread();
  GiveWindow();
  refused_ = true;
  session_->SendReject(id_, status, headers);
  Break(absl::UnavailableError(absl::StrCat("rejected with ", status)));
}

void TunnelStream::set_on_response(ConnectSession::ResponseCallback on_response) {
  on_response_ = std::move(on_response);
}

void TunnelStream::OnResponse(int http_status, HeaderList headers) {
  if (opened_ || refused_ || !error_.ok()) return;
  absl::Status status;
  if (http_status < 200 || http_status > 299) status = StatusOfResponse(http_status);
  response_ = std::make_unique<Response>();
  response_->status = status;
  response_->http_status = http_status;
  response_->headers = std::move(headers);
  Want();
  if (!status.ok()) {
    refused_ = true;
    Break(status);
    return;
  }
  opened_ = true;
  if (unread() > 0 || end_received_) NotifyReadable();
  NotifyWritable();
  if (shutdown_ && session_ != nullptr) session_->SendReady(this);
}

void TunnelStream::OnRequestSent() {
  request_sent_ = true;
  OpenWindow();
}

void TunnelStream::GrowWindow() {
  // A window is what may be under way: on a path of 50 ms as much as 50 ms of bytes, or the stream
  // waits most of the time. The most in the options is for a path of less than a millisecond.
  // Looked at once, by the streams that have got so far.
  if (wanted_window_ >= most_window_ && !path_looked_at_ && session_ != nullptr) {
    path_looked_at_ = true;
    const int64_t milliseconds = absl::ToInt64Milliseconds(session_->ShortestRoundTrip());
    const int64_t needed = int64_t{most_window_} * (1 + std::min<int64_t>(milliseconds, 1000));
    most_window_ =
        static_cast<uint32_t>(std::max<int64_t>(most_window_, std::min(needed, kLongestWindow)));
  }
  wanted_window_ = std::min(wanted_window_ * kWindowGrowth, MostWindow());
}

void TunnelStream::OpenWindow() {
  // The other half of the budget is for those that carry something.
  if (received_use_.Plenty()) GiveWindow();
}

void TunnelStream::OnData(absl::Span<const uint8_t> data, bool lent) {
  credit_ -= static_cast<int32_t>(data.size());
  if (reset_ || refused_ || !error_.ok()) {
    GiveWindow();  // What nobody will read is not to stall the peer.
    return;
  }
  const bool waited_for = opened_ && read_waiting_ && observer_ != nullptr && response_ == nullptr;
  if (loan_ == nullptr && lent && waited_for && received_.empty()) {
    loan_ = session_->BeginLoan(this);
  }
  if (loan_ != nullptr && lent && !loan_->full()) {
    loan_->Add(data);
  } else {
    EndLoan();
    received_.Append(data);
  }
  // All that was promised has come, or so much at once that the peer may soon have to wait.
  if (credit_ <= static_cast<int32_t>(wanted_window_ / 8) || unread() >= wanted_window_ / 2) {
    window_used_up_ = true;
  }
  CountReceived();
  if (read_waiting_ && loan_ == nullptr) NotifyReadable();
}

void TunnelStream::DispatchLoan() {
  if (unread() == 0 || !read_waiting_ || observer_ == nullptr) return;
  read_waiting_ = false;
  observer_->OnReadable();
}

void TunnelStream::EndLoan() {
  if (loan_ == nullptr) return;
  for (const absl::Span<const uint8_t> piece : loan_->pieces()) received_.Append(piece);
  loan_->Clear();
  loan_ = nullptr;
  CountReceived();
  if (read_waiting_ && !received_.empty()) NotifyReadable();
}

void TunnelStream::DropUnread() {
  received_.Clear();
  if (loan_ != nullptr) loan_->Clear();
}

void TunnelStream::GiveWindow() {
  if (session_ != nullptr && !closed_ && !end_received_) {
    const int64_t window =
        static_cast<int64_t>(received_use_.Limit(std::min(wanted_window_, MostWindow())));
    const int64_t given = credit_ + static_cast<int64_t>(unread());
    // By halves: a frame for each byte read would cost more than the byte. Whoever has read
    // everything and gets nothing has left more than half of it to the peer.
    if ((window - given) * 2 >= window) {
      session_->GiveWindow(id_, static_cast<size_t>(window - given));
      credit_ += static_cast<int32_t>(window - given);
    }
  }
  CountReceived();
}

void TunnelStream::CloseWindow() {
  credit_ = 0;
  CountReceived();
}

void TunnelStream::CountReceived() {
  const size_t memory = received_.allocated();
  received_use_.Set(memory + static_cast<size_t>(std::max(0, credit_)), memory);
}

void TunnelStream::DropUnsent() {
  unsent_.Clear();
  CountUnsent();
}

void TunnelStream::OnEndStream() {
  end_received_ = true;
  CloseWindow();
  if (read_waiting_) NotifyReadable();
}

void TunnelStream::OnClosed(const absl::Status& status) {
  closed_ = true;
  CloseWindow();
  DropUnsent();
  if (!status.ok()) Break(status);
  if (flush_waiting_) OnOutputTaken();
}

void TunnelStream::OnStopped(const absl::Status& status) {
  end_stands_ = opened_ && end_received_ && error_.ok();
  OnClosed(status);
}

void TunnelStream::OnSessionGone(const absl::Status& status) {
  // A stream that has ended both ways stays what it is: its last bytes can still be read.
  session_ = nullptr;
  if (!closed_) Break(status);
  closed_ = true;
  CloseWindow();
  queued = false;
  const bool due = readable_due_ || writable_due_ || response_ != nullptr;
  if (due || flush_waiting_) {
    if (flush_waiting_) NotifyWritable();
    Want();
  }
}

void TunnelStream::OnOutputTaken() {
  if (!flush_waiting_) return;
  flush_waiting_ = false;
  if (Flushed()) NotifyWritable();
}

size_t TunnelStream::sendable() const { return opened_ ? unsent_.size() + borrowed_.size() : 0; }

bool TunnelStream::ends_after(size_t bytes) const {
  return opened_ && shutdown_ && !reset_ && bytes == sendable();
}

bool TunnelStream::reset_due() const {
  const bool answer_due = role_ == Role::kServer && opened_ && !answer_sent_;
  return reset_ && !reset_submitted_ && !closed_ && unsent_.empty() && !answer_due;
}

void TunnelStream::TakeSendable(absl::Span<uint8_t> out) {
  const size_t taken = unsent_.Take(out);
  out.remove_prefix(taken);
  if (!out.empty()) {
    DCHECK_LE(out.size(), borrowed_.size());
    std::copy_n(borrowed_.data(), out.size(), out.data());
    borrowed_.remove_prefix(out.size());
  }
  if (taken == 0) return;
  CountUnsent();
  if (write_waiting_ && unsent_.size() <= unsent_use_.Limit(kSendLimit) / 2) NotifyWritable();
}

void TunnelStream::OnEndSent(uint64_t mark) {
  end_sent_ = true;
  sent_mark_ = mark;
}

void TunnelStream::OnResetSent(uint64_t mark) {
  reset_sent_ = true;
  sent_mark_ = mark;
}

void TunnelStream::NotifyReadable() {
  read_waiting_ = false;
  readable_due_ = true;
  if (observer_ != nullptr) Want();
}

void TunnelStream::NotifyWritable() {
  write_waiting_ = false;
  writable_due_ = true;
  if (observer_ != nullptr) Want();
}

void TunnelStream::Break(const absl::Status& status) {
  if (!error_.ok()) return;
  error_ = status;
  DropUnsent();
  if (on_response_ && response_ == nullptr && !opened_) {
    response_ = std::make_unique<Response>();
    response_->status = status;
    Want();
  }
  NotifyReadable();
  NotifyWritable();
}

void TunnelStream::Want() {
  if (session_ != nullptr) {
    session_->WantUpcalls(this);
    return;
  }
  if (own_upcalls_ == nullptr) {
    own_upcalls_ = loop_->NewDeferred([this] { DispatchUpcalls(); });
  }
  own_upcalls_->Schedule();
}

void TunnelStream::DispatchUpcalls() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  if (response_ != nullptr && on_response_) {
    const std::unique_ptr<Response> response = std::move(response_);
    ConnectSession::ResponseCallback on_response = std::move(on_response_);
    on_response_ = nullptr;
    on_response(response->status, response->http_status, response->headers);
    if (destroyed) return;
  }
  if (readable_due_ && observer_ != nullptr) {
    readable_due_ = false;
    observer_->OnReadable();
    if (destroyed) return;
  }
  if (writable_due_ && observer_ != nullptr) {
    writable_due_ = false;
    observer_->OnWritable();
    if (destroyed) return;
  }
  destroyed_ = nullptr;
}

}  // namespace byrnie
