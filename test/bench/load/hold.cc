// Connections on which nothing happens any more.
#include <sys/epoll.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "test/bench/load/client.h"
#include "test/bench/load/exchange.h"

namespace byrnie::load {
namespace {

// As many handshakes as a proxy takes from one address without making others wait.
constexpr int kOpeningAtOnce = 16;
constexpr size_t kSize = 8;

class HeldConnections {
 public:
  HeldConnections(const Options& options, Poller* poller, Measurement* measurement)
      : options_(options), poller_(poller), measurement_(measurement) {}

  void Start();
  int open() const { return open_; }

 private:
  class Connection;

  const Options& options_;
  Poller* const poller_;            // Not owned.
  Measurement* const measurement_;  // Not owned.
  int started_ = 0;
  int open_ = 0;
};

class HeldConnections::Connection final : public Handler {
 public:
  Connection(HeldConnections* all, UniqueFd fd)
      : Handler(std::move(fd)), all_(all), exchange_(kSize) {}

  bool OnEvents(uint32_t /*events*/) override {
    if (!asked_) {
      asked_ = true;
      const absl::Status asked = exchange_.Ask(fd());
      if (!asked.ok()) all_->measurement_->Fail(asked);
      all_->poller_->Watch(*this, EPOLLIN);
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
    ++all_->open_;
    all_->Start();
    return true;
  }

 private:
  HeldConnections* const all_;  // Not owned.
  Exchange exchange_;
  bool asked_ = false;
};

void HeldConnections::Start() {
  if (started_ == options_.connections) return;
  ++started_;
  absl::StatusOr<UniqueFd> fd = StartConnecting(options_.to);
  const absl::Status started =
      fd.ok() ? poller_->Add(std::make_unique<Connection>(this, *std::move(fd)), EPOLLOUT)
              : fd.status();
  if (!started.ok()) measurement_->Fail(started);
}

}  // namespace

void RunHold(const Options& options, Poller* poller, Measurement* measurement) {
  HeldConnections all(options, poller, measurement);
  for (int i = 0; i < std::min(options.connections, kOpeningAtOnce); ++i) all.Start();
  RunUntil(poller, measurement, "cannot open all connections in time",
           [&] { return all.open() == options.connections; });
  if (!measurement->status().ok()) return;
  std::printf("{\"held\": %d}\n", options.connections);
  std::fflush(stdout);
  while (measurement->status().ok()) poller->Turn(absl::Hours(1));
}

}  // namespace byrnie::load
