#include "test/bench/load/filler.h"

#include <sys/socket.h>

#include <algorithm>

namespace byrnie::load {
namespace {

// What an application might write at once, and small enough for the cache that it is read from.
constexpr uint64_t kBlock = 256 * 1024;
constexpr uint64_t kMostDiscarded = 4 * 1024 * 1024;

}  // namespace

ssize_t SendFiller(int fd, uint64_t bytes) {
  static const char block[kBlock] = {};
  return send(fd, block, std::min(bytes, kBlock), MSG_NOSIGNAL);
}

ssize_t Discard(int fd, uint64_t bytes) {
  // tcp(7): with MSG_TRUNC the bytes are dropped, and nothing is written to the buffer.
  return recv(fd, nullptr, std::min(bytes, kMostDiscarded), MSG_TRUNC);
}

}  // namespace byrnie::load
