#include "test/bench/load/exchange.h"

#include <errno.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "common/net/socket.h"

namespace byrnie::load {
namespace {

// Lives on one thread, like those it numbers.
uint64_t NextNumber() {
  static uint64_t last = 0;
  return ++last;
}

}  // namespace

// Not a byte that begins TLS: a proxy that looks for it is to take this for what it is.
Exchange::Exchange(size_t size) : question_(size, 'q'), answer_(size, 'a') {}

absl::Status Exchange::Ask(int fd) {
  const uint64_t number = NextNumber();
  // In seven bits each, with the highest set, for the same reason.
  for (int i = 0; i < 8; ++i) question_[i] = static_cast<char>(0x80 | (number >> (7 * i) & 0x7f));
  received_ = 0;
  const ssize_t sent = send(fd, question_.data(), question_.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(question_.size())) return absl::OkStatus();
  if (sent < 0) return ConnectionError(errno, "cannot send a question");
  return absl::ResourceExhaustedError(
      absl::StrCat("only ", sent, " bytes of a question were sent"));
}

Exchange::State Exchange::Receive(int fd) {
  const ssize_t got = recv(fd, &answer_[received_], answer_.size() - received_, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return State::kWaiting;
    error_ = ConnectionError(errno, "lost a connection");
    return State::kFailed;
  }
  received_ += static_cast<size_t>(got);
  if (got == 0) {
    error_ = absl::UnavailableError(
        absl::StrCat("a connection has ended after ", received_, " bytes of an answer"));
    return State::kFailed;
  }
  if (received_ < answer_.size()) return State::kWaiting;
  if (answer_ == question_) return State::kAnswered;
  error_ = absl::DataLossError("an answer is not what was asked");
  return State::kFailed;
}

}  // namespace byrnie::load
