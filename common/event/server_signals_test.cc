#include "common/event/server_signals.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class ServerSignalsTest : public ::testing::Test {
 protected:
  ServerSignalsTest() {
    ServerSignals::Handlers handlers;
    handlers.on_end = [this] { ++ends_; };
    handlers.on_hangup = [this] { ++hangups_; };
    auto signals = ServerSignals::Create(&loop_, std::move(handlers));
    EXPECT_THAT(signals, IsOk());
    signals_ = *std::move(signals);
  }

  ManualEventLoop loop_;
  std::unique_ptr<ServerSignals> signals_;
  int ends_ = 0;
  int hangups_ = 0;
};

TEST_F(ServerSignalsTest, TerminationAndInterruptAskForTheEnd) {
  for (const int number : {SIGTERM, SIGINT}) {
    kill(getpid(), number);
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(ends_, 2);
  EXPECT_EQ(hangups_, 0);
}

TEST_F(ServerSignalsTest, AHangupIsToldAndEndsNothing) {
  kill(getpid(), SIGHUP);
  loop_.RunUntilIdle();
  EXPECT_EQ(hangups_, 1);
  EXPECT_EQ(ends_, 0);
}

TEST_F(ServerSignalsTest, WritingToAConnectionThatIsGoneIsAnError) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  close(fds[1]);
  EXPECT_EQ(write(fds[0], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  close(fds[0]);
}

}  // namespace
}  // namespace byrnie
