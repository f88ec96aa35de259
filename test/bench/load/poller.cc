#include "test/bench/load/poller.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie::load {
namespace {

constexpr int kEventsPerTurn = 256;

epoll_event EventOf(const Handler* handler, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = const_cast<Handler*>(handler);
  return event;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Poller>> Poller::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make an epoll: ", strerror(errno)));
  }
  return std::unique_ptr<Poller>(new Poller(std::move(epoll)));
}

Poller::Poller(UniqueFd epoll) : epoll_(std::move(epoll)), events_(kEventsPerTurn) {}

Poller::~Poller() = default;

absl::Status Poller::Add(std::unique_ptr<Handler> handler, uint32_t events) {
  epoll_event event = EventOf(handler.get(), events);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, handler->fd(), &event) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot watch a descriptor: ", strerror(errno)));
  }
  const Handler* const key = handler.get();
  handlers_.emplace(key, std::move(handler));
  return absl::OkStatus();
}

void Poller::Watch(const Handler& handler, uint32_t events) {
  epoll_event event = EventOf(&handler, events);
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, handler.fd(), &event) == 0);
}

void Poller::Turn(absl::Duration patience) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(
      std::min(std::max(patience, absl::ZeroDuration()), absl::Hours(1)), absl::Milliseconds(1)));
  const int count =
      epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn, static_cast<int>(milliseconds));
  CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    // A descriptor is told of once in a turn, and a handler ends nobody but itself.
    auto* handler = static_cast<Handler*>(events_[i].data.ptr);
    if (!handler->OnEvents(events_[i].events)) handlers_.erase(handler);
  }
}

}  // namespace byrnie::load
