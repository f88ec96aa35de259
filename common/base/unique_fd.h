#ifndef BYRNIE_COMMON_BASE_UNIQUE_FD_H_
#define BYRNIE_COMMON_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace byrnie {

// Owns a file descriptor and closes it. Move-only.
class UniqueFd {
 public:
  UniqueFd() = default;
  // Takes ownership; negative means none.
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }

  // Gives up ownership.
  int release() { return std::exchange(fd_, -1); }
  // Closes what is held and takes `fd`. On Linux the descriptor is gone whatever close() returns,
  // so that it is never closed twice.
  void reset(int fd = -1) {
    int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_UNIQUE_FD_H_
