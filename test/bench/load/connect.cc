// Connections with one question each.
#include <sys/epoll.h>

#include <memory>
#include <utility>

#include "test/bench/load/client.h"
#include "test/bench/load/exchange.h"

namespace byrnie::load {
namespace {

class ShortConnections {
 public:
  ShortConnections(const Options& options, Poller* poller, Measurement* measurement)
      : options_(options), poller_(poller), measurement_(measurement) {}

  void Start();

 private:
  class Connection;

  const Options& options_;
  Poller* const poller_;            // Not owned.
  Measurement* const measurement_;  // Not owned.
};

class ShortConnections::Connection final : public Handler {
 public:
  Connection(ShortConnections* all, UniqueFd fd, absl::Duration begun)
      : Handler(std::move(fd)), all_(all), begun_(begun), exchange_(all->options_.size) {}

  bool OnEvents(uint32_t /*events*/) override {
    if (!asked_) {
      asked_ = true;
      const absl::Status asked = exchange_.Ask(fd());
      if (asked.ok()) {
        all_->poller_->Watch(*this, EPOLLIN);
      } else {
        all_->measurement_->Fail(asked);
      }
      return asked.ok();
    }
    switch (exchange_.Receive(fd())) {
      case Exchange::State::kWaiting:
        return true;
      case Exchange::State::kFailed:
        all_->measurement_->Fail(exchange_.error());
        return false;
      case Exchange::State::kAnswered:
        break;
    }
    all_->measurement_->Completed(all_->measurement_->Now() - begun_);
    // The next one begins where this ends, until there is nothing to measure any more.
    if (all_->measurement_->state() != Measurement::State::kAfter) all_->Start();
    return false;
  }

 private:
  ShortConnections* const all_;  // Not owned.
  const absl::Duration begun_;
  Exchange exchange_;
  bool asked_ = false;
};

void ShortConnections::Start() {
  const absl::Duration begun = measurement_->Now();
  absl::StatusOr<UniqueFd> fd = StartConnecting(options_.to);
  const absl::Status started =
      fd.ok() ? poller_->Add(std::make_unique<Connection>(this, *std::move(fd), begun), EPOLLOUT)
              : fd.status();
  if (!started.ok()) measurement_->Fail(started);
}

}  // namespace

void RunConnect(const Options& options, Poller* poller, Measurement* measurement) {
  ShortConnections all(options, poller, measurement);
  for (int i = 0; i < options.connections; ++i) all.Start();
  if (!RunWindow(options, poller, measurement)) return;
  // What is under way ends as it should, so that whoever measures next finds a proxy at rest.
  RunUntil(poller, measurement, "the last connections do not end",
           [poller] { return poller->size() == 0; });
}

}  // namespace byrnie::load
