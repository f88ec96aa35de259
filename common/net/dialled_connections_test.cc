#include "common/net/dialled_connections.h"

#include <memory>

#include "common/net/socket_address.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

SocketAddress Address(const char* text) { return *SocketAddress::Parse(text); }

TEST(DialledConnectionsTest, HoldAConnectionForAsLongAsItsEntryLives) {
  DialledConnections connections;
  auto entry = connections.Add(Address("10.0.0.1:40000"), Address("10.0.0.7:80"));
  EXPECT_TRUE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:80")));
  entry.reset();
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:80")));
}

TEST(DialledConnectionsTest, TellConnectionsApartByBothEnds) {
  DialledConnections connections;
  const auto entry = connections.Add(Address("10.0.0.1:40000"), Address("10.0.0.7:80"));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40001"), Address("10.0.0.7:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.2:40000"), Address("10.0.0.7:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.7:81")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.1:40000"), Address("10.0.0.8:80")));
  EXPECT_FALSE(connections.Contains(Address("10.0.0.7:80"), Address("10.0.0.1:40000")));
}

TEST(DialledConnectionsTest, DoNotLookAtZones) {
  DialledConnections connections;
  const IpAddress one = *IpAddress::Parse("fe80::1");
  const IpAddress other = *IpAddress::Parse("fe80::2");
  const auto entry = connections.Add(SocketAddress(one, 40000, 2), SocketAddress(other, 80, 2));
  EXPECT_TRUE(connections.Contains(SocketAddress(one, 40000, 1), SocketAddress(other, 80, 1)));
}

}  // namespace
}  // namespace byrnie
