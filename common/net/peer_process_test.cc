#include "common/net/peer_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// A child that has connected to us and waits to be killed.
class PeerProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    // Abstract, of the kernel's choice.
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) _exit(1);
      for (;;) pause();
    }
    connection_ = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(connection_);
  }
  void TearDown() override { Kill(); }
  void Kill() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }

  UniqueFd listener_, connection_;
  pid_t child_ = -1;
};

TEST_F(PeerProcessTest, IsWhoConnected) {
  ASSERT_OK_AND_ASSIGN(PeerProcess peer, PeerProcess::Of(connection_.get()));
  EXPECT_EQ(peer.credentials().pid, child_);
  EXPECT_EQ(peer.credentials().uid, geteuid());
  EXPECT_FALSE(peer.HasEnded());
}

TEST_F(PeerProcessTest, KnowsItsExecutable) {
  ASSERT_OK_AND_ASSIGN(PeerProcess peer, PeerProcess::Of(connection_.get()));
  // The child is a fork of this test.
  EXPECT_THAT(peer.RunsExecutable("/proc/self/exe"), IsOk());
  EXPECT_THAT(peer.RunsExecutable("/bin/sh"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("/bin/sh")));
  EXPECT_THAT(peer.RunsExecutable("/nonexistent"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/nonexistent")));
}

TEST_F(PeerProcessTest, KnowsWhenItHasEnded) {
  ASSERT_OK_AND_ASSIGN(PeerProcess peer, PeerProcess::Of(connection_.get()));
  Kill();
  EXPECT_TRUE(peer.HasEnded());
  EXPECT_THAT(peer.RunsExecutable("/proc/self/exe"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PeerProcessTest, OfAProcessThatEndedBeforeItWasAskedForIsNeverAnother) {
  Kill();
  absl::StatusOr<PeerProcess> peer = PeerProcess::Of(connection_.get());
  ASSERT_THAT(peer.status(), IsOk());
  EXPECT_THAT(peer->RunsExecutable("/proc/self/exe"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(PeerProcessErrorTest, RefusesWhatIsNoUnixSocket) {
  UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(PeerProcess::Of(tcp.get()).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
