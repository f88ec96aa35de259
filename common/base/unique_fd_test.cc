#include "common/base/unique_fd.h"

#include <fcntl.h>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

UniqueFd Open() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST(UniqueFdTest, ClosesWhenDestroyed) {
  int raw;
  {
    UniqueFd fd = Open();
    ASSERT_TRUE(fd.valid());
    raw = fd.get();
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFdTest, MovesOwnership) {
  UniqueFd a = Open();
  int raw = a.get();
  UniqueFd b = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT: the moved-from state is the subject.
  EXPECT_EQ(b.get(), raw);
  EXPECT_TRUE(IsOpen(raw));
  UniqueFd c = Open();
  int replaced = c.get();
  c = std::move(b);
  EXPECT_FALSE(IsOpen(replaced));
  EXPECT_EQ(c.get(), raw);
}

TEST(UniqueFdTest, ReleaseGivesUpOwnership) {
  UniqueFd fd = Open();
  int raw = fd.release();
  fd.reset();
  EXPECT_TRUE(IsOpen(raw));
  close(raw);
}

}  // namespace
}  // namespace byrnie
