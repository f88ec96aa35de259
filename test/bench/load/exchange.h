#ifndef BYRNIE_TEST_BENCH_LOAD_EXCHANGE_H_
#define BYRNIE_TEST_BENCH_LOAD_EXCHANGE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace byrnie::load {

// A question and the same bytes as its answer, one after the other on one connection. Every
// question is another one, so an answer to somebody else is noticed. Lives on one thread.
class Exchange {
 public:
  enum class State { kWaiting, kAnswered, kFailed };

  // Questions of `size` bytes, at least 8.
  explicit Exchange(size_t size);

  // Sends the next question. Unavailable when the connection is gone; a socket takes a question as
  // a whole, or it fails.
  absl::Status Ask(int fd);
  // Takes what has come of the answer. After kFailed, error() says why.
  State Receive(int fd);
  const absl::Status& error() const { return error_; }

 private:
  std::string question_;
  std::string answer_;
  size_t received_ = 0;
  absl::Status error_;
};

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_EXCHANGE_H_
