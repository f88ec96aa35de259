#include "proxy/relay.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "proxy/access_record.h"
#include "proxy/end_code.h"
#include "proxy/half_close.h"

namespace byrnie {
namespace {

// How often it is looked whether the last bytes of a clean end have moved on: a part of the time
// after which they must have.
constexpr int kLooksPerTimeout = 8;
// Most connections whose first direction has ended are over before this.
constexpr absl::Duration kFirstEndPatience = absl::Seconds(1);
// Of a relay that has carried no more than this nobody asks whether it has arrived.
constexpr uint64_t kNoTail = 4 * 1024;
// How soon, and then how rarely, it is looked whether the hosts have taken the last bytes.
constexpr absl::Duration kFirstTailLook = absl::Milliseconds(5);
constexpr absl::Duration kRarestTailLook = absl::Seconds(1);

const char* NameOfSide(RelayResult::Side side) {
  switch (side) {
    case RelayResult::Side::kDownstream:
      return "downstream";
    case RelayResult::Side::kUpstream:
      return "upstream";
    case RelayResult::Side::kProxy:
      break;
  }
  return "proxy";
}

}  // namespace

void Relay::Side::OnReadable() {
  read_blocked = false;
  if (!lost && stream->Lost()) {
    lost = true;
    relay->NoteBroken(*this);
  }
  relay->Run();
}

void Relay::Side::OnWritable() {
  write_blocked = false;
  relay->Run();
}

Relay::Relay(EventLoop* loop, absl::Span<uint8_t> scratch, std::unique_ptr<ByteStream> downstream,
             std::unique_ptr<ByteStream> upstream, const Options* options, DoneCallback on_done)
    : loop_(loop),
      options_(options),
      scratch_(scratch),
      on_done_(std::move(on_done)),
      last_activity_(loop->Now()) {
  DCHECK(!scratch_.empty());
  if (options_->budget != nullptr) options_->budget->Add(2 * kLeastRead, 0, 0);
  downstream_.relay = this;
  downstream_.stream = std::move(downstream);
  upstream_.relay = this;
  upstream_.stream = std::move(upstream);
}

Relay::~Relay() {
  DCHECK(loop_->InLoopThread());
  DropPending(downstream_);
  DropPending(upstream_);
  if (options_->budget != nullptr) options_->budget->Add(-2 * kLeastRead, 0, 0);
}

void Relay::NoteNextMove(uint64_t id) { next_move_ = options_->moved == nullptr ? 0 : id; }

void Relay::Start() {
  DCHECK(loop_->InLoopThread());
  if (state_ != State::kMade) return;  // Aborted before it began.
  state_ = State::kRunning;
  last_activity_ = loop_->Now();
  for (Side* side : {&downstream_, &upstream_}) {
    side->stream->SetObserver(side);
    side->stream->HearOfLoss(true);
  }
  if (options_->idle_timeout != absl::InfiniteDuration()) {
    ArmTimer(Limit::kIdle, options_->idle_timeout);
  }
  ScheduleRun();
}

bool Relay::Abort(absl::Status reason, uint32_t code) {
  DCHECK(loop_->InLoopThread());
  DCHECK(!reason.ok());
  if (state_ == State::kEnding || state_ == State::kDone) return false;
  ObserveStreams();
  BeginEnding(std::move(reason), RelayResult::Side::kProxy, code);
  return true;
}

void Relay::Cut(absl::Status reason, uint32_t code) {
  DCHECK(loop_->InLoopThread());
  DCHECK(!reason.ok());
  if (state_ == State::kDone) return;
  ObserveStreams();
  BeginEnding(std::move(reason), RelayResult::Side::kProxy, code);
  ArmTimer(Limit::kNow, absl::ZeroDuration());
}

bool Relay::LeaveToKernel() {
  DCHECK(loop_->InLoopThread());
  if (state_ != State::kEnding || !status_.ok()) return false;
  if (limit_ != Limit::kTail && limit_ != Limit::kNow) return false;
  ArmTimer(Limit::kNow, absl::ZeroDuration());
  return true;
}

void Relay::ObserveStreams() {
  if (state_ != State::kMade) return;
  downstream_.stream->SetObserver(&downstream_);
  upstream_.stream->SetObserver(&upstream_);
}

uint64_t Relay::bytes_to_upstream() const { return downstream_.bytes_out; }
uint64_t Relay::bytes_to_downstream() const { return upstream_.bytes_out; }

absl::Duration Relay::first_byte_to_upstream() const {
  return downstream_.bytes_out == 0 ? absl::InfiniteDuration()
                                    : absl::Microseconds(downstream_.first_byte_micros);
}
absl::Duration Relay::first_byte_to_downstream() const {
  return upstream_.bytes_out == 0 ? absl::InfiniteDuration()
                                  : absl::Microseconds(upstream_.first_byte_micros);
}

size_t Relay::buffered_bytes() const {
  return (downstream_.pending_end - downstream_.pending_begin) +
         (upstream_.pending_end - upstream_.pending_begin);
}

ByteStream* Relay::downstream() const { return downstream_.stream.get(); }
ByteStream* Relay::upstream() const { return upstream_.stream.get(); }

RelayResult::Side Relay::NameOf(const Side& side) const {
  return &side == &downstream_ ? RelayResult::Side::kDownstream : RelayResult::Side::kUpstream;
}

void Relay::Run() {
  if (state_ == State::kRunning) {
    if (EndForbidden()) return;
    bool more = Pump(downstream_);
    if (state_ == State::kRunning) more |= Pump(upstream_);
    if (more) ScheduleRun();
  } else if (state_ == State::kEnding) {
    ScheduleRun();  // Only the deferred task finishes: on_done may destroy us and our streams.
  }
}

bool Relay::Pump(Side& from) {
  Side& to = Other(from);
  size_t moved = 0;
  while (state_ == State::kRunning) {
    if (to.write_error || to.lost) {
      // These bytes have nowhere to go. `to` ends the relay once what it had to say has been passed
      // on, which is now when `from` cannot hear it either.
      DropPending(from);
      if (from.write_error || from.read_error || from.lost) FailFrom(from);
      return false;
    }
    if (!FlushPending(from)) {
      if (to.write_error) continue;
      return false;
    }
    if (from.read_error) {
      FailFrom(from);
      return false;
    }
    if (from.read_eof) {
      FinishDirection(from);
      return false;
    }
    // A stream that takes no more is not read for: the bytes stay with the peer.
    if (to.write_blocked || from.read_blocked) return false;
    if (moved >= options_->bytes_per_event) return true;

    if (!from.stream->Peek().empty()) {
      const size_t passed = PassOn(from);
      moved += passed;
      if (passed == 0 && !to.write_error) return false;
      continue;
    }
    // What the other side may not take would have to be kept.
    const size_t size = ReadSize(from);
    const IoResult read = from.stream->Read(scratch_.first(size));
    if (read.status == IoStatus::kEof) {
      from.read_eof = true;
      NoteFirstEnd(from);
      continue;
    }
    if (read.status == IoStatus::kError) {
      from.read_error = true;
      NoteBroken(from);
      continue;
    }
    if (read.bytes > 0) {
      from.bulk = read.bytes >= std::min(size, kSmallRead / 2);
      moved += read.bytes;
      last_activity_ = loop_->Now();
      const absl::Span<const uint8_t> rest = WriteOut(from, scratch_.first(read.bytes));
      if (!rest.empty()) KeepPending(from, rest);
      if (to.write_error) continue;
    }
    if (read.status == IoStatus::kWouldBlock) {
      if (!from.write_error) {
        from.read_blocked = true;
        return false;
      }
      // Broken both ways, says the contract: there is nothing more to come.
      from.read_error = true;
    }
  }
  return false;
}

bool Relay::FlushPending(Side& from) {
  if (from.pending == nullptr) return true;
  if (Other(from).write_blocked) return false;
  const absl::Span<const uint8_t> data(from.pending.get() + from.pending_begin,
                                       from.pending_end - from.pending_begin);
  const absl::Span<const uint8_t> rest = WriteOut(from, data);
  from.pending_begin = from.pending_end - static_cast<uint32_t>(rest.size());
  if (!rest.empty()) return false;
  DropPending(from);
  return true;
}

absl::Span<const uint8_t> Relay::WriteOut(Side& from, absl::Span<const uint8_t> data) {
  while (!data.empty()) {
    const IoResult written = Other(from).stream->Write(data);
    data.remove_prefix(written.bytes);
    if (!NoteWritten(from, written)) break;
  }
  return data;
}

size_t Relay::PassOn(Side& from) {
  const IoResult written = Other(from).stream->WritePieces(from.stream->Peek());
  // What is not taken stays with `from`.
  from.stream->Skip(written.bytes);
  NoteWritten(from, written);
  return written.bytes;
}

bool Relay::NoteWritten(Side& from, IoResult written) {
  Side& to = Other(from);
  if (written.status == IoStatus::kError || written.status == IoStatus::kEof) {
    to.write_error = true;
    to.read_blocked = false;
    NoteBroken(to);
    return false;
  }
  if (written.bytes > 0) {
    last_activity_ = loop_->Now();
    if (from.bytes_out == 0) from.first_byte_micros = absl::ToInt64Microseconds(last_activity_);
    from.bytes_out += written.bytes;
    if (next_move_ != 0) {
      options_->moved->push_back(next_move_);
      next_move_ = 0;
    }
  }
  if (written.status == IoStatus::kWouldBlock) {
    to.write_blocked = true;
    return false;
  }
  if (written.bytes == 0) {
    ScheduleRun();
    return false;
  }
  return true;
}

void Relay::KeepPending(Side& from, absl::Span<const uint8_t> rest) {
  if (Other(from).write_error) return;
  CountPending(from, rest.size());
  from.pending.reset(new uint8_t[rest.size()]);
  std::memcpy(from.pending.get(), rest.data(), rest.size());
  from.pending_begin = 0;
  from.pending_end = static_cast<uint32_t>(rest.size());
}

void Relay::DropPending(Side& from) {
  if (from.pending == nullptr) return;
  CountPending(from, 0);
  from.pending.reset();
  from.pending_begin = from.pending_end = 0;
}

void Relay::CountPending(const Side& from, size_t size) {
  if (options_->budget == nullptr) return;
  // Flushing a part of them frees nothing, and moves their beginning alone.
  const int64_t before = from.pending_end;
  const int64_t now = static_cast<int64_t>(size);
  const auto beyond = [](int64_t bytes) { return std::max<int64_t>(0, bytes - kLeastRead); };
  options_->budget->Add(0, beyond(now) - beyond(before), now - before);
}

size_t Relay::ReadSize(const Side& from) {
  const size_t most = std::min(
      scratch_.size(), from.bulk ? std::max(kSmallRead, Other(from).stream->Room()) : kSmallRead);
  return options_->budget == nullptr ? most : options_->budget->Limit(kLeastRead, most);
}

void Relay::NoteFirstEnd(const Side& side) {
  if (first_end_ || state_ != State::kRunning) return;
  first_end_ = true;
  ended_by_ = NameOf(side);
  // A peer that is gone, or a NAT entry that was dropped in the half-closed state, is to be found
  // within a minute.
  last_activity_ = loop_->Now();
  ArmTimer(Limit::kHalfClose, std::min(kFirstEndPatience, options_->half_close_timeout));
}

void Relay::NoteBroken(Side& side) {
  if (state_ != State::kRunning) return;
  ScheduleRun();  // `side` is to be read to its end, whichever direction is served next.
  if (std::exchange(broken_, true)) return;
  NoteFirstEnd(side);
  // Of a reader that takes nothing nobody would hear any more: it may itself be waiting for
  // somebody to read.
  last_activity_ = loop_->Now();
  undelivered_ = 0;
  ArmTimer(Limit::kBroken, options_->flush_timeout / kLooksPerTimeout);
}

bool Relay::EndForbidden() {
  if (!broken_) return false;
  for (Side* side : {&downstream_, &upstream_}) {
    if (!PeerForbids(side->stream->error())) continue;
    FailFrom(*side);
    return true;
  }
  return false;
}

void Relay::OnBrokenTimer() {
  const uint64_t before = std::exchange(undelivered_, Undelivered());
  if (before != 0 && before != undelivered_) last_activity_ = loop_->Now();
  if (loop_->Now() - last_activity_ < options_->flush_timeout) {
    timer_->Schedule(options_->flush_timeout / kLooksPerTimeout);
    return;
  }
  FailFrom(downstream_.lost || downstream_.write_error || downstream_.read_error ? downstream_
                                                                                 : upstream_);
  ArmTimer(Limit::kNow, absl::ZeroDuration());
}

void Relay::FinishDirection(Side& from) {
  Side& to = Other(from);
  if (!from.finished) {
    from.finished = true;
    to.stream->ShutdownWrite();
  }
  if (from.write_error || !from.stream->error().ok() || (from.lost && !to.finished)) {
    // Reset after its clean end: nothing more will get there.
    FailFrom(from);
    return;
  }
  if (to.finished) BeginEnding(absl::OkStatus(), ended_by_);
}

void Relay::FailFrom(Side& side) {
  const absl::Status error = side.stream->error();
  BeginEnding(error.ok() ? absl::UnavailableError("connection reset") : error, NameOf(side));
}

void Relay::ResetBoth(uint32_t code) {
  downstream_.stream->ResetWith(code);
  upstream_.stream->ResetWith(code);
}

void Relay::BeginEnding(absl::Status status, RelayResult::Side ended_by, uint32_t code) {
  state_ = State::kEnding;
  status_ = std::move(status);
  ended_by_ = ended_by;
  DropPending(downstream_);
  DropPending(upstream_);
  if (!status_.ok()) ResetBoth(code);
  last_activity_ = loop_->Now();
  undelivered_ = 0;
  if (PeerForbids(status_)) {
    ArmTimer(Limit::kNow, absl::ZeroDuration());
  } else {
    ArmTimer(Limit::kFlush, EndPatience() / kLooksPerTimeout);
  }
  ScheduleRun();
}

void Relay::MaybeFinish() {
  if (status_.ok()) {
    // Both ends were clean; a stream that breaks before its last bytes are out makes the end
    // unclean after all.
    for (Side* side : {&downstream_, &upstream_}) {
      if (side->stream->error().ok()) continue;
      FailFrom(*side);
      break;
    }
  }
  // Both are asked, because asking is what subscribes to the answer.
  const bool downstream_flushed = downstream_.stream->Flushed();
  const bool upstream_flushed = upstream_.stream->Flushed();
  if (!downstream_flushed || !upstream_flushed) return;
  if (limit_ == Limit::kTail || limit_ == Limit::kNow) return;  // Its timer looks.
  if (!status_.ok() || !HasTail()) Finish();
}

bool Relay::HasTail() {
  // So little fits into any window, and short connections are to cost no more system calls.
  if (std::max(downstream_.bytes_out, upstream_.bytes_out) <= kNoTail) return false;
  const uint64_t before = std::exchange(undelivered_, Undelivered());
  if (undelivered_ == 0) return false;
  if (before != undelivered_) last_activity_ = loop_->Now();
  next_tail_look_ = std::clamp(2 * next_tail_look_, kFirstTailLook, kRarestTailLook);
  ArmTimer(Limit::kTail, next_tail_look_);
  return true;
}

void Relay::OnTailTimer() {
  if (state_ != State::kEnding) return;
  if (loop_->Now() - last_activity_ >= kTailPatience * options_->half_close_timeout) {
    GiveUpFlushing(kTailPatience * options_->half_close_timeout);
    return;
  }
  limit_ = Limit::kFlush;
  MaybeFinish();
}

void Relay::Finish() {
  state_ = State::kDone;
  if (timer_ != nullptr) timer_->Cancel();
  if (deferred_ != nullptr) deferred_->Cancel();
  downstream_.stream->SetObserver(nullptr);
  upstream_.stream->SetObserver(nullptr);
  RelayResult result;
  result.bytes_to_upstream = downstream_.bytes_out;
  result.bytes_to_downstream = upstream_.bytes_out;
  result.status = status_;
  result.ended_by = ended_by_;
  result.reason = status_.ok() ? absl::StrCat(NameOfSide(ended_by_), " closed")
                               : absl::StrCat(NameOfSide(ended_by_), " reset: ", status_.message());
  result.deadline = deadline_;
  DoneCallback on_done = std::move(on_done_);
  on_done_ = nullptr;
  if (on_done) on_done(result);  // May destroy this.
}

void Relay::ScheduleRun() {
  if (deferred_ == nullptr) {
    deferred_ = loop_->NewDeferred([this] {
      if (state_ == State::kRunning) Run();
      if (state_ == State::kEnding) MaybeFinish();
    });
  }
  deferred_->Schedule();
}

void Relay::ArmTimer(Limit limit, absl::Duration delay) {
  limit_ = limit;
  if (timer_ == nullptr) timer_ = loop_->NewTimer([this] { OnTimer(); });
  timer_->Schedule(delay);
}

uint64_t Relay::Undelivered() const {
  return buffered_bytes() + downstream_.stream->Undelivered() + upstream_.stream->Undelivered();
}

absl::Duration Relay::EndPatience() const {
  return status_.ok() ? options_->half_close_timeout : options_->flush_timeout;
}

void Relay::OnFlushTimer() {
  // Not asked when the end began: most ends are over at once, and asking is a system call.
  const uint64_t before = std::exchange(undelivered_, Undelivered());
  if (before != 0 && before != undelivered_) last_activity_ = loop_->Now();
  if (loop_->Now() - last_activity_ < EndPatience()) {
    timer_->Schedule(EndPatience() / kLooksPerTimeout);
  } else if (status_.ok()) {
    GiveUpFlushing(options_->half_close_timeout);
  } else {
    Finish();
  }
}

void Relay::GiveUpFlushing(absl::Duration quiet) {
  status_ = absl::DeadlineExceededError(
      absl::StrCat("the last bytes have not moved on for ", absl::FormatDuration(quiet)));
  ended_by_ = RelayResult::Side::kProxy;
  deadline_ = RelayResult::Deadline::kHalfClose;
  ResetBoth(EndCodeOf(access_reason::kHalfCloseTimeout));
  Finish();
}

void Relay::OnTimer() {
  if (limit_ == Limit::kFlush) {
    if (state_ == State::kEnding) OnFlushTimer();
    return;
  }
  if (limit_ == Limit::kTail) {
    OnTailTimer();
    return;
  }
  if (limit_ == Limit::kNow) {
    if (state_ == State::kEnding) Finish();
    return;
  }
  if (state_ != State::kRunning) return;
  if (limit_ == Limit::kBroken) {
    OnBrokenTimer();
    return;
  }
  const absl::Duration quiet = loop_->Now() - last_activity_;
  if (quiet >= options_->idle_timeout) {
    EndByDeadline(RelayResult::Deadline::kIdle,
                  absl::StrCat("idle for ", absl::FormatDuration(options_->idle_timeout)));
    return;
  }
  absl::Duration next = options_->idle_timeout - quiet;
  if (limit_ == Limit::kHalfClose) {
    const absl::optional<absl::Duration> look = LookAtHalfClosed(quiet);
    if (!look.has_value()) return;
    next = std::min(next, *look);
  }
  timer_->Schedule(next);
}

absl::optional<absl::Duration> Relay::LookAtHalfClosed(absl::Duration quiet) {
  if (!std::exchange(keepalive_shortened_, true)) {
    downstream_.stream->ShortenKeepalive();
    upstream_.stream->ShortenKeepalive();
  }
  HalfClosed facts;
  facts.quiet = quiet;
  facts.undelivered = Undelivered() > 0;
  facts.downstream_unheard = downstream_.stream->Unheard();
  facts.upstream_unheard = upstream_.stream->Unheard();
  const absl::optional<absl::Duration> look =
      NextLookAtHalfClosed(facts, options_->half_close_timeout);
  if (!look.has_value()) {
    EndByDeadline(RelayResult::Deadline::kHalfClose,
                  WhyHalfClosedEnds(facts, options_->half_close_timeout));
  }
  return look;
}

void Relay::EndByDeadline(RelayResult::Deadline deadline, std::string why) {
  deadline_ = deadline;
  BeginEnding(
      absl::DeadlineExceededError(why), RelayResult::Side::kProxy,
      EndCodeOf(deadline == RelayResult::Deadline::kIdle ? access_reason::kIdleTimeout
                                                         : access_reason::kHalfCloseTimeout));
}

}  // namespace byrnie
