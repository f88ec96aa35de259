#include "common/flow/source_network.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string NetworkOf(const char* address) {
  return SourceNetworkOf(*IpAddress::Parse(address)).ToString();
}

TEST(SourceNetworkTest, IsTheNetworkThatSourcesOfOnePlaceShare) {
  EXPECT_EQ(NetworkOf("10.77.3.255"), "10.77.3.0/24");
  EXPECT_EQ(NetworkOf("10.77.3.0"), "10.77.3.0/24");
  EXPECT_EQ(NetworkOf("fd00:1:2:3:4:5:6:7"), "fd00:1:2:3::/64");
  EXPECT_EQ(NetworkOf("::ffff:10.77.3.9"), "10.77.3.0/24");
}

}  // namespace
}  // namespace byrnie
