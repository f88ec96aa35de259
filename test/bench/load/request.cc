// Questions and answers on connections that last.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "test/bench/load/client.h"
#include "test/bench/load/exchange.h"

namespace byrnie::load {
namespace {

// Asks when it is told to, one question after the other; what is due meanwhile waits.
class Asker final : public Handler {
 public:
  Asker(const Options& options, Poller* poller, Measurement* measurement, UniqueFd fd)
      : Handler(std::move(fd)),
        at_once_(options.rate == 0),
        poller_(poller),
        measurement_(measurement),
        exchange_(options.size) {}

  bool ready() const { return ready_; }
  bool at_rest() const { return !asking_ && due_.empty(); }

  // A question is due since `when`.
  void Due(absl::Duration when) {
    due_.push_back(when);
    if (!asking_) Ask();
  }

  bool OnEvents(uint32_t /*events*/) override {
    if (!ready_) {
      // Connected; the first question brings the proxies' side of it up, and is not measured.
      ready_ = true;
      poller_->Watch(*this, EPOLLIN);
      Due(measurement_->Now());
      return true;
    }
    switch (exchange_.Receive(fd())) {
      case Exchange::State::kWaiting:
        return true;
      case Exchange::State::kFailed:
        measurement_->Fail(exchange_.error());
        return false;
      case Exchange::State::kAnswered:
        break;
    }
    const absl::Duration now = measurement_->Now();
    measurement_->Completed(now - due_.front());
    due_.pop_front();
    asking_ = false;
    if (at_once_ && measurement_->state() != Measurement::State::kAfter) due_.push_back(now);
    if (!due_.empty()) Ask();
    return true;
  }

 private:
  void Ask() {
    asking_ = true;
    const absl::Status asked = exchange_.Ask(fd());
    if (!asked.ok()) measurement_->Fail(asked);
  }

  const bool at_once_;
  Poller* const poller_;            // Not owned.
  Measurement* const measurement_;  // Not owned.
  Exchange exchange_;
  bool ready_ = false;
  bool asking_ = false;
  std::deque<absl::Duration> due_;  // The first is the one asked.
};

// Makes a question due at each of evenly spaced times, on one connection after the other.
class Schedule final : public Handler {
 public:
  Schedule(absl::Duration interval, const std::vector<Asker*>& askers, Measurement* measurement,
           UniqueFd timer)
      : Handler(std::move(timer)),
        interval_(interval),
        askers_(askers),
        measurement_(measurement),
        next_(measurement->Now()) {
    Arm();
  }

  bool OnEvents(uint32_t /*events*/) override {
    uint64_t expirations;
    CHECK(read(fd(), &expirations, sizeof(expirations)) > 0 || errno == EAGAIN);
    if (measurement_->state() == Measurement::State::kAfter) return false;
    const absl::Duration now = measurement_->Now();
    for (; next_ <= now; next_ += interval_) {
      askers_[turn_++ % askers_.size()]->Due(next_);
    }
    Arm();
    return true;
  }

 private:
  void Arm() {
    itimerspec when = {};
    when.it_value = absl::ToTimespec(next_);
    CHECK(timerfd_settime(fd(), TFD_TIMER_ABSTIME, &when, nullptr) == 0);
  }

  const absl::Duration interval_;
  const std::vector<Asker*>& askers_;
  Measurement* const measurement_;  // Not owned.
  absl::Duration next_;
  size_t turn_ = 0;
};

}  // namespace

void RunRequest(const Options& options, Poller* poller, Measurement* measurement) {
  std::vector<Asker*> askers;
  for (int i = 0; i < options.connections; ++i) {
    absl::StatusOr<UniqueFd> fd = StartConnecting(options.to);
    if (!fd.ok()) return measurement->Fail(fd.status());
    auto asker = std::make_unique<Asker>(options, poller, measurement, *std::move(fd));
    askers.push_back(asker.get());
    const absl::Status added = poller->Add(std::move(asker), EPOLLOUT);
    if (!added.ok()) return measurement->Fail(added);
  }
  if (options.rate > 0) {
    const auto ready = [&askers] {
      for (const Asker* asker : askers) {
        if (!asker->ready() || !asker->at_rest()) return false;
      }
      return true;
    };
    if (!RunUntil(poller, measurement, "connections have no first answer", ready)) return;
    UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    CHECK(timer.valid());
    const absl::Status added =
        poller->Add(std::make_unique<Schedule>(absl::Seconds(1) / options.rate, askers, measurement,
                                               std::move(timer)),
                    EPOLLIN);
    if (!added.ok()) return measurement->Fail(added);
  }
  if (!RunWindow(options, poller, measurement)) return;
  RunUntil(poller, measurement, "the last questions are not answered", [&askers] {
    for (const Asker* asker : askers) {
      if (!asker->at_rest()) return false;
    }
    return true;
  });
}

}  // namespace byrnie::load
