#include "common/grpc/peer_address.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(PeerAddressTest, LeavesOutTheLibrarysPrefixAndEncoding) {
  EXPECT_EQ(PeerAddress("ipv4:10.0.0.1:4711"), "10.0.0.1:4711");
  EXPECT_EQ(PeerAddress("ipv6:%5Bfd00::1%5D:4711"), "[fd00::1]:4711");
  EXPECT_EQ(PeerAddress("unix:"), "unix:");
}

TEST(PeerIpTest, IsTheAddressAlone) {
  EXPECT_EQ(PeerIp("ipv4:10.0.0.1:4711"), *IpAddress::Parse("10.0.0.1"));
  EXPECT_EQ(PeerIp("ipv6:%5Bfd00::1%5D:4711"), *IpAddress::Parse("fd00::1"));
  EXPECT_EQ(PeerIp("ipv6:%5B::ffff:10.0.0.1%5D:1"), *IpAddress::Parse("10.0.0.1"));
  EXPECT_EQ(PeerIp("ipv6:%5Bfe80::1%252%5D:4711"), *IpAddress::Parse("fe80::1"));
  EXPECT_EQ(PeerIp("unix:"), absl::nullopt);
}

TEST(PeerSourceTest, IsAnAddressOrANetworkOfOneHost) {
  EXPECT_EQ(PeerSource("ipv4:10.0.0.1:4711"), PeerSource("ipv4:10.0.0.1:4712"));
  EXPECT_NE(PeerSource("ipv4:10.0.0.1:4711"), PeerSource("ipv4:10.0.0.2:4711"));
  EXPECT_EQ(PeerSource("ipv6:%5B::ffff:10.0.0.1%5D:1"), PeerSource("ipv4:10.0.0.1:4712"));
  EXPECT_EQ(PeerSource("ipv6:%5Bfd00::1%5D:4711"), PeerSource("ipv6:%5Bfd00::2%5D:4712"));
  EXPECT_NE(PeerSource("ipv6:%5Bfd00::1%5D:4711"), PeerSource("ipv6:%5Bfd00:0:0:1::1%5D:4711"));
  EXPECT_EQ(PeerSource("ipv6:%5Bfe80::1%252%5D:4711"), PeerSource("ipv6:%5Bfe80::1%252%5D:4712"));
  EXPECT_NE(PeerSource("ipv6:%5Bfe80::1%252%5D:4711"), PeerSource("ipv6:%5Bfd00::1%5D:4711"));
  EXPECT_EQ(PeerSource("unix:"), "unix:");
  EXPECT_EQ(PeerSource("unix:%"), "unix:%");
}

}  // namespace
}  // namespace byrnie
