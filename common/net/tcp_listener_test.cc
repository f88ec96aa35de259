#include "common/net/tcp_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/acceptor.h"
#include "common/net/original_dst.h"
#include "common/net/socket.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// What `call` returns to a thread without capabilities, as a proxy beside an application has none.
absl::Status Unprivileged(const std::function<absl::Status()>& call) {
  absl::Status result;
  std::thread([&] {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    // The raw call is of this thread alone.
    EXPECT_EQ(syscall(SYS_capset, &header, none), 0);
    result = call();
  }).join();
  return result;
}

// The socket of this process that listens there; -1 for none.
int ListeningSocket(const SocketAddress& address) {
  for (int fd = 0; fd < 1024; ++fd) {
    int listens = 0;
    socklen_t size = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    const absl::StatusOr<SocketAddress> bound = LocalSocketAddress(fd);
    if (bound.ok() && *bound == address) return fd;
  }
  return -1;
}

class TcpListenerTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<TcpListener>> Listen(
      const SocketAddress& address, const TcpListener::Options& options = TcpListener::Options()) {
    return TcpListener::Create(&loop_, address, options, [this](std::unique_ptr<TcpStream> stream) {
      accepted_.push_back(std::move(stream));
    });
  }
  // The kernel completes a loopback connection before connect() returns, or right after.
  UniqueFd Dial(const SocketAddress& address) {
    UniqueFd fd(socket(address.ip().is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage;
    socklen_t size = address.ToSockaddr(&storage);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
    return fd;
  }

  ManualEventLoop loop_;
  std::vector<std::unique_ptr<TcpStream>> accepted_;
  const SocketAddress any_port_ = *SocketAddress::Parse("127.0.0.1:0");
};

TEST_F(TcpListenerTest, AcceptsABoundedNumberAtATimeAndAllInTheEnd) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(any_port_));
  std::vector<UniqueFd> clients;
  const size_t count = 2 * Acceptor::kMaxAcceptsPerTurn + 10;
  for (size_t i = 0; i < count; ++i) clients.push_back(Dial(listener->address()));
  loop_.RunOnce();
  // The batch of the event and the one of the end of the turn.
  EXPECT_LE(accepted_.size(), 2u * Acceptor::kMaxAcceptsPerTurn);
  EXPECT_TRUE(loop_.RunUntil([&] { return accepted_.size() == count; }));
}

TEST_F(TcpListenerTest, TakesEverythingWhenAskedTo) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(any_port_));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 150; ++i) clients.push_back(Dial(listener->address()));
  listener->AcceptAll();
  EXPECT_EQ(accepted_.size(), 150u);
}

TEST_F(TcpListenerTest, IgnoresNewConnectionsAndKeepsThoseItHas) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    accepted_.clear();
    ASSERT_OK_AND_ASSIGN(auto listener, Listen(*SocketAddress::Parse(address)));
    UniqueFd before = Dial(listener->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_.size() == 1; }));
    UniqueFd queued = Dial(listener->address());
    EXPECT_THAT(Unprivileged([&] { return listener->IgnoreNewConnections(); }), IsOk());
    // Not Dial, which would wait for an answer.
    sockaddr_storage server;
    const socklen_t size = listener->address().ToSockaddr(&server);
    UniqueFd late(socket(server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(late.get(), reinterpret_cast<sockaddr*>(&server), size), -1);
    ASSERT_EQ(errno, EINPROGRESS);
    loop_.RunUntilIdle();
    EXPECT_EQ(accepted_.size(), 2u) << "what was queued is taken";
    pollfd pending = {late.get(), POLLOUT, 0};
    EXPECT_EQ(poll(&pending, 1, 50), 0) << "neither accepted nor refused";
    // Data of both passes.
    for (const UniqueFd* client : {&before, &queued}) {
      ASSERT_EQ(send(client->get(), "x", 1, 0), 1);
      uint8_t byte = 0;
      const size_t index = client == &before ? 0 : 1;
      ASSERT_TRUE(loop_.RunUntil(
          [&] { return accepted_[index]->Read(absl::MakeSpan(&byte, 1)).bytes == 1; }));
      EXPECT_EQ(byte, 'x');
    }
  }
}

TEST_F(TcpListenerTest, KeepsThoseInTheMiddleOfTheirHandshake) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(*SocketAddress::Parse("[::]:0")));
  // Makes the kernel wait with the end of the handshake for the client's first byte.
  const int seconds = 5;
  ASSERT_EQ(setsockopt(ListeningSocket(listener->address()), IPPROTO_TCP, TCP_DEFER_ACCEPT,
                       &seconds, sizeof(seconds)),
            0);
  const uint16_t port = listener->address().port();
  std::vector<UniqueFd> clients;
  for (const char* host : {"127.0.0.1", "::1"}) {
    clients.push_back(Dial(SocketAddress(*IpAddress::Parse(host), port)));
  }
  EXPECT_THAT(Unprivileged([&] { return listener->IgnoreNewConnections(); }), IsOk());
  loop_.RunUntilIdle();
  ASSERT_TRUE(accepted_.empty());
  for (const UniqueFd& client : clients) {
    accepted_.clear();
    // The second is no part of a handshake any more.
    for (const char* byte : {"x", "y"}) {
      ASSERT_EQ(send(client.get(), byte, 1, 0), 1);
      uint8_t got = 0;
      ASSERT_TRUE(loop_.RunUntil([&] {
        return !accepted_.empty() && accepted_[0]->Read(absl::MakeSpan(&got, 1)).bytes == 1;
      }));
      EXPECT_EQ(got, *byte);
    }
  }
}

TEST_F(TcpListenerTest, NamesThePortThatIsTaken) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(any_port_));
  EXPECT_THAT(Listen(listener->address()), StatusIs(absl::StatusCode::kAlreadyExists,
                                                    HasSubstr(listener->address().ToString())));
}

TEST_F(TcpListenerTest, NamesAnAddressThatIsNotOfThisHost) {
  EXPECT_THAT(Listen(*SocketAddress::Parse("192.0.2.1:80")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("192.0.2.1:80")));
}

TEST_F(TcpListenerTest, SharesAPortWhenAllAgree) {
  TcpListener::Options options;
  options.reuse_port = true;
  ASSERT_OK_AND_ASSIGN(auto one, Listen(any_port_, options));
  EXPECT_THAT(Listen(one->address(), options), IsOk());
}

TEST_F(TcpListenerTest, TakesBothFamiliesOnTheUnspecifiedAddress) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(*SocketAddress::Parse("[::]:0")));
  const uint16_t port = listener->address().port();
  UniqueFd v4 = Dial(SocketAddress(*IpAddress::Parse("127.0.0.1"), port));
  UniqueFd v6 = Dial(SocketAddress(*IpAddress::Parse("::1"), port));
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_.size() == 2; }));
  EXPECT_EQ(accepted_[0]->RemoteAddress()->ip(), *IpAddress::Parse("127.0.0.1"));
  EXPECT_EQ(accepted_[1]->RemoteAddress()->ip(), *IpAddress::Parse("::1"));
}

TEST_F(TcpListenerTest, KnowsWhereOneCameFromThatWasResetBeforeItWasAccepted) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(*SocketAddress::Parse("[::]:0")));
  for (const char* const host : {"127.0.0.1", "::1"}) {
    accepted_.clear();
    UniqueFd fd = Dial(SocketAddress(*IpAddress::Parse(host), listener->address().port()));
    ASSERT_OK_AND_ASSIGN(const SocketAddress source, LocalSocketAddress(fd.get()));
    ASSERT_EQ(send(fd.get(), "x", 1, 0), 1);
    const linger now = {1, 0};
    ASSERT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    fd.reset();
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_.size() == 1; }));
    EXPECT_THAT(accepted_[0]->RemoteAddress(), IsOkAndHolds(source));
  }
}

TEST_F(TcpListenerTest, MayBeDestroyedByItsOwnCallback) {
  std::unique_ptr<TcpListener> listener;
  int calls = 0;
  ASSERT_OK_AND_ASSIGN(listener, TcpListener::Create(&loop_, any_port_, TcpListener::Options(),
                                                     [&](std::unique_ptr<TcpStream>) {
                                                       ++calls;
                                                       listener.reset();
                                                     }));
  UniqueFd one = Dial(listener->address());
  UniqueFd two = Dial(listener->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return calls > 0; }));
  loop_.RunUntilIdle();
  EXPECT_EQ(calls, 1);
}

TEST_F(TcpListenerTest, PausesWhenDescriptorsRunOutAndGoesOnLater) {
  TcpListener::Options options;
  int told = 0;
  options.on_pause = [&](const absl::Status& why) {
    ++told;
    EXPECT_THAT(why, StatusIs(absl::StatusCode::kResourceExhausted));
  };
  ASSERT_OK_AND_ASSIGN(auto listener, Listen(any_port_, options));
  UniqueFd client = Dial(listener->address());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The lowest free number becomes one too many.
  const UniqueFd probe(fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
  rlimit tight = before;
  tight.rlim_cur = probe.get();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(told, 1);
  loop_.AdvanceTime(absl::Milliseconds(250));
  EXPECT_EQ(told, 3);
  EXPECT_EQ(listener->pauses(), 3u);
  EXPECT_TRUE(accepted_.empty());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(accepted_.size(), 1u);
}

TEST_F(TcpListenerTest, AConnectionThatCameDirectlyHasNoOriginalDestination) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    accepted_.clear();
    ASSERT_OK_AND_ASSIGN(auto listener, Listen(*SocketAddress::Parse(address)));
    UniqueFd client = Dial(listener->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_.size() == 1; }));
    EXPECT_THAT(GetOriginalDestination(accepted_[0]->fd()), StatusIs(absl::StatusCode::kNotFound));
  }
}

}  // namespace
}  // namespace byrnie
