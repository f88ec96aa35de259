#ifndef BYRNIE_TEST_BENCH_LOAD_POLLER_H_
#define BYRNIE_TEST_BENCH_LOAD_POLLER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/unique_fd.h"

struct epoll_event;

namespace byrnie::load {

// A descriptor and what happens on it.
class Handler {
 public:
  explicit Handler(UniqueFd fd) : fd_(std::move(fd)) {}
  virtual ~Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  // `events` as epoll tells them. False: it has come to its end, and the poller destroys it.
  virtual bool OnEvents(uint32_t events) = 0;

  int fd() const { return fd_.get(); }

 private:
  const UniqueFd fd_;
};

// Level-triggered epoll, and no more than that: what measures a proxy does not share the loop that
// the proxy is made of, and takes as little of the machine as it can. Lives on one thread.
class Poller {
 public:
  static absl::StatusOr<std::unique_ptr<Poller>> Create();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Takes a handler, to be told of `events`. ResourceExhausted when the kernel takes no more.
  absl::Status Add(std::unique_ptr<Handler> handler, uint32_t events);
  // What a handler wants to be told of from now on.
  void Watch(const Handler& handler, uint32_t events);
  // Tells handlers what has happened, after waiting for it no longer than `patience`.
  void Turn(absl::Duration patience);

  size_t size() const { return handlers_.size(); }

 private:
  explicit Poller(UniqueFd epoll);

  const UniqueFd epoll_;
  std::vector<epoll_event> events_;
  absl::flat_hash_map<const Handler*, std::unique_ptr<Handler>> handlers_;
};

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_POLLER_H_
