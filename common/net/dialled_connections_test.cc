#include "common/net/dialled_connections.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "common/base/unique_fd.h"
#include "common/net/socket_address.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// Of which the kernel says nothing: it counts as open.
constexpr int kNoSocket = -1;

SocketAddress Address(const char* text) { return *SocketAddress::Parse(text); }

TEST(DialledConnectionsTest, HoldAConnectionForAsLongAsItsEntryLives) {
  DialledConnections connections;
  auto entry = connections.Add(Address("10.0.0.1:40000"), Address("10.0.0.7:80"), kNoSocket);
  EXPECT_TRUE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:80")));
  entry.reset();
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:80")));
}

TEST(DialledConnectionsTest, TellConnectionsApartByBothEnds) {
  DialledConnections connections;
  const auto entry = connections.Add(Address("10.0.0.1:40000"), Address("10.0.0.7:80"), kNoSocket);
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40001"), Address("10.0.0.7:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.2:40000"), Address("10.0.0.7:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:81")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.8:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.7:80"), Address("10.0.0.1:40000")));
}

TEST(DialledConnectionsTest, KnowTheNewestOfTwoWithTheSameEnds) {
  DialledConnections connections;
  const SocketAddress local = Address("10.0.0.1:40000");
  const SocketAddress remote = Address("10.0.0.7:80");
  auto before = connections.Add(local, remote, -1);
  auto now = connections.Add(local, remote, -2);
  before.reset();
  EXPECT_TRUE(connections.Contains(local, remote));
  now.reset();
  EXPECT_FALSE(connections.Contains(local, remote));
}

// The kernel gives its ends to the next connection, which may be the application's own.
TEST(DialledConnectionsTest, DoNotContainOneThatHasBeenReset) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener.get(), raw, size), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(getsockname(listener.get(), raw, &size), 0);
  const UniqueFd dialled(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(dialled.get(), raw, size), 0);
  UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  DialledConnections connections;
  const SocketAddress local = Address("10.0.0.1:40000");
  const SocketAddress remote = Address("10.0.0.7:80");
  const auto entry = connections.Add(local, remote, dialled.get());
  EXPECT_TRUE(connections.Contains(local, remote));
  const linger at_once = {1, 0};
  ASSERT_EQ(setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
  accepted.reset();
  char byte = 0;
  ASSERT_EQ(recv(dialled.get(), &byte, 1, 0), -1);  // The reset has come.
  EXPECT_FALSE(connections.Contains(local, remote));
}

TEST(DialledConnectionsTest, DoNotLookAtZones) {
  DialledConnections connections;
  const IpAddress one = *IpAddress::Parse("fe80::1");
  const IpAddress other = *IpAddress::Parse("fe80::2");
  const auto entry =
      connections.Add(SocketAddress(one, 40000, 2), SocketAddress(other, 80, 2), kNoSocket);
  EXPECT_TRUE(connections.Contains(SocketAddress(one, 40000, 1), SocketAddress(other, 80, 1)));
}

}  // namespace
}  // namespace byrnie
