#include "proxy/drain.h"

#include <utility>

namespace byrnie {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(50);
// For resets to reach those who are behind the bytes before them.
constexpr absl::Duration kAbortGrace = absl::Seconds(1);

}  // namespace

Drain::Drain(EventLoop* loop, Host* host, absl::Duration timeout, Logger* logger)
    : loop_(loop),
      host_(host),
      timeout_(timeout),
      logger_(logger),
      poll_timer_(loop->NewTimer([this] { Poll(); })) {}

void Drain::Begin() {
  if (state_ != State::kServing) return;
  state_ = State::kDraining;
  deadline_ = loop_->Now() + timeout_;
  logger_->Info("draining", {{"timeout", absl::FormatDuration(timeout_)}});
  host_->StopInbound();
  poll_timer_->Schedule(absl::ZeroDuration());
}

void Drain::Quit() {
  if (state_ == State::kServing) host_->StopInbound();
  if (state_ == State::kServing || state_ == State::kDraining) Abort();
}

void Drain::Poll() {
  if (state_ == State::kFinished) return;
  if (loop_->Now() >= deadline_) {
    if (state_ == State::kAborting) {
      logger_->Warning("ending with connections that did not end");
      Finish();
      return;
    }
    logger_->Warning("the drain deadline passed, resetting what is open");
    Abort();
    return;
  }
  poll_timer_->Schedule(kPollInterval);
  host_->CountConnections([this](size_t count) { OnCount(count); });
}

void Drain::OnCount(size_t count) {
  if (count == 0 && (state_ == State::kDraining || state_ == State::kAborting)) {
    logger_->Info("drained");
    Finish();
  }
}

void Drain::Abort() {
  state_ = State::kAborting;
  deadline_ = loop_->Now() + kAbortGrace;
  host_->AbortConnections();
  poll_timer_->Schedule(absl::ZeroDuration());
}

void Drain::Finish() {
  state_ = State::kFinished;
  poll_timer_->Cancel();
  host_->OnDrained();
}

}  // namespace byrnie
