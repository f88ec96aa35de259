#include "proxy/drain.h"

#include <utility>

namespace byrnie {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(50);
// For resets to reach those who are behind the bytes before them.
constexpr absl::Duration kAbortGrace = absl::Seconds(1);
// For those whose reader does not read to be in the log, and for their peers to be told.
constexpr absl::Duration kGiveUpGrace = absl::Milliseconds(500);

}  // namespace

Drain::Drain(EventLoop* loop, Host* host, const Options& options, Logger* logger)
    : loop_(loop),
      host_(host),
      options_(options),
      logger_(logger),
      poll_timer_(loop->NewTimer([this] { Poll(); })) {}

void Drain::Begin() {
  if (state_ != State::kServing) return;
  state_ = State::kHolding;
  deadline_ = loop_->Now() + options_.timeout;
  hold_until_ = loop_->Now() + options_.hold;
  logger_->Info("draining", {{"timeout", absl::FormatDuration(options_.timeout)},
                             {"hold", absl::FormatDuration(options_.hold)},
                             {"quiet", absl::FormatDuration(options_.quiet)}});
  host_->StopReadiness();
  if (options_.hold <= absl::ZeroDuration()) Stop();
  poll_timer_->Schedule(absl::ZeroDuration());
}

void Drain::Stop() {
  state_ = State::kDraining;
  host_->StopInbound();
}

void Drain::Quit() {
  if (state_ == State::kServing) host_->StopReadiness();
  if (state_ == State::kServing || state_ == State::kHolding) Stop();
  if (state_ == State::kDraining) Abort("ended-at-once");
}

void Drain::Poll() {
  if (state_ == State::kFinished) return;
  if (loop_->Now() >= deadline_) {
    if (state_ == State::kAborting) {
      state_ = State::kGivingUp;
      deadline_ = loop_->Now() + kGiveUpGrace;
      host_->GiveUpConnections(why_);
      poll_timer_->Schedule(absl::ZeroDuration());
      return;
    }
    if (state_ == State::kGivingUp) {
      logger_->Warning("ending with connections that did not end");
      Finish();
      return;
    }
    logger_->Warning("the drain deadline passed, resetting what is open");
    if (state_ == State::kHolding) Stop();
    Abort("drain-deadline");
    return;
  }
  if (state_ == State::kHolding && loop_->Now() >= hold_until_) Stop();
  poll_timer_->Schedule(kPollInterval);
  if (state_ != State::kHolding) {
    host_->CountConnections([this](ConnectionCounts counts) { OnCount(counts); });
  }
}

void Drain::OnCount(ConnectionCounts counts) {
  if (state_ == State::kHolding || state_ == State::kFinished) return;
  const bool begun = counts.begun != begun_;
  begun_ = counts.begun;
  if (counts.open > 0 || (begun && state_ == State::kDraining)) {
    quiet_since_ = absl::nullopt;
    return;
  }
  if (!quiet_since_.has_value()) quiet_since_ = loop_->Now();
  if (state_ != State::kDraining || loop_->Now() - *quiet_since_ >= options_.quiet) {
    logger_->Info("drained");
    Finish();
  }
}

void Drain::Abort(absl::string_view why) {
  state_ = State::kAborting;
  deadline_ = loop_->Now() + kAbortGrace;
  why_ = why;
  host_->AbortConnections(why_);
  poll_timer_->Schedule(absl::ZeroDuration());
}

void Drain::Finish() {
  state_ = State::kFinished;
  poll_timer_->Cancel();
  host_->OnDrained();
}

}  // namespace byrnie
