#include "deploy/redirect/network_set.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

NetworkSet SetOf(const std::vector<std::pair<std::string, int>>& networks) {
  NetworkSet set;
  for (const auto& [address, prefix] : networks) {
    const bool ipv6 = absl::StrContains(address, ":");
    unsigned char bytes[16];
    EXPECT_EQ(inet_pton(ipv6 ? AF_INET6 : AF_INET, address.c_str(), bytes), 1) << address;
    set.Add(ipv6, bytes, prefix);
  }
  return set;
}

std::vector<std::string> Matches(const std::vector<std::pair<std::string, int>>& networks) {
  return SetOf(networks).Matches();
}

TEST(NetworkSetTest, MatchesOneNetworkByItself) {
  EXPECT_THAT(Matches({{"10.0.0.0", 8}}), ElementsAre("ip daddr 10.0.0.0/8"));
  EXPECT_THAT(Matches({{"192.0.2.7", 32}}), ElementsAre("ip daddr 192.0.2.7"));
  EXPECT_THAT(Matches({{"fd00::", 8}}), ElementsAre("ip6 daddr fd00::/8"));
  EXPECT_THAT(Matches({{"fd77::1", 128}}), ElementsAre("ip6 daddr fd77::1"));
  EXPECT_THAT(Matches({}), IsEmpty());
}

TEST(NetworkSetTest, MatchesManyInOneSetOfEachFamily) {
  EXPECT_THAT(Matches({{"192.0.2.7", 32}, {"fd00::", 8}, {"10.0.0.0", 8}, {"::1", 128}}),
              ElementsAre("ip daddr { 10.0.0.0/8, 192.0.2.7 }", "ip6 daddr { ::1, fd00::/8 }"));
}

TEST(NetworkSetTest, HasEachAddressOnce) {
  EXPECT_THAT(Matches({{"10.1.0.0", 16}, {"10.0.0.0", 8}, {"10.0.0.0", 8}, {"11.0.0.1", 32}}),
              ElementsAre("ip daddr { 10.0.0.0/8, 11.0.0.1 }"));
  EXPECT_THAT(Matches({{"192.0.2.7", 32}, {"192.0.2.7", 32}}), ElementsAre("ip daddr 192.0.2.7"));
}

TEST(NetworkSetTest, JoinsNeighboursWhereThereAreRangesAsNftDoes) {
  EXPECT_THAT(Matches({{"20.0.1.0", 24}, {"20.0.0.0", 24}}), ElementsAre("ip daddr 20.0.0.0/23"));
  EXPECT_THAT(Matches({{"20.0.1.0", 24}, {"20.0.2.0", 24}}),
              ElementsAre("ip daddr 20.0.1.0-20.0.2.255"));
  EXPECT_THAT(Matches({{"10.0.0.0", 8}, {"192.0.2.7", 32}, {"192.0.2.8", 32}}),
              ElementsAre("ip daddr { 10.0.0.0/8, 192.0.2.7-192.0.2.8 }"));
  EXPECT_THAT(Matches({{"192.0.2.7", 32}, {"192.0.2.8", 32}}),
              ElementsAre("ip daddr { 192.0.2.7, 192.0.2.8 }"));
}

TEST(NetworkSetTest, ReachesBothEndsOfAFamily) {
  EXPECT_THAT(Matches({{"255.255.255.255", 32}, {"0.0.0.0", 1}}),
              ElementsAre("ip daddr { 0.0.0.0/1, 255.255.255.255 }"));
  EXPECT_THAT(Matches({{"ffff::", 16}, {"::", 96}}), ElementsAre("ip6 daddr { ::/96, ffff::/16 }"));
  EXPECT_THAT(Matches({{"0.0.0.0", 0}, {"10.0.0.0", 8}}), ElementsAre("meta nfproto ipv4"));
  EXPECT_THAT(Matches({{"::", 1}, {"8000::", 1}, {"10.0.0.0", 8}}),
              ElementsAre("ip daddr 10.0.0.0/8", "meta nfproto ipv6"));
}

TEST(NetworkSetTest, CoversWhatItHasAllOf) {
  const NetworkSet set = SetOf({{"10.0.0.0", 9}, {"10.128.0.0", 9}, {"fd00::", 9}});
  EXPECT_TRUE(set.Covers(SetOf({{"10.0.0.0", 8}, {"fd00::1", 128}})));
  EXPECT_TRUE(set.Covers(SetOf({})));
  EXPECT_FALSE(set.Covers(SetOf({{"10.0.0.0", 8}, {"fd00::", 8}})));
  EXPECT_FALSE(set.Covers(SetOf({{"11.0.0.0", 32}})));
  EXPECT_FALSE(set.Covers(SetOf({{"9.255.255.255", 32}})));
  NetworkSet more = set;
  more.Add(SetOf({{"fd80::", 9}, {"11.0.0.0", 8}}));
  EXPECT_TRUE(more.Covers(SetOf({{"10.0.0.0", 7}, {"fd00::", 8}})));
  EXPECT_TRUE(SetOf({{"8000::", 1}, {"::", 1}}).Covers(SetOf({{"::", 0}})));
  EXPECT_FALSE(SetOf({{"8000::", 1}, {"::", 2}}).Covers(SetOf({{"::", 0}})));
}

}  // namespace
}  // namespace byrnie
