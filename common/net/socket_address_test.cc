#include "common/net/socket_address.h"

#include "absl/container/flat_hash_set.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(IpAddressTest, ParsesAndPrintsBothFamilies) {
  for (absl::string_view text : {"10.0.0.1", "0.0.0.0", "fd00::1", "::", "::1"}) {
    ASSERT_OK_AND_ASSIGN(IpAddress ip, IpAddress::Parse(text));
    EXPECT_EQ(ip.ToString(), text);
    EXPECT_THAT(IpAddress::FromBytes(ip.ToBytes()), IsOkAndHolds(ip));
  }
}

TEST(IpAddressTest, RefusesAnythingElse) {
  for (absl::string_view text : {"", "10.0.0", "10.0.0.256", "010.0.0.1.", "[::1]", "fe80::1%eth0",
                                 "localhost", " ::1", "10.0.0.1/8", "10.0.0.1 "}) {
    EXPECT_THAT(IpAddress::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  EXPECT_THAT(IpAddress::Parse(absl::string_view("10.0.0.1\0x", 10)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(IpAddress::FromBytes("12345"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(IpAddressTest, KeepsAMappedAddressAsTheIpv4AddressItMeans) {
  ASSERT_OK_AND_ASSIGN(IpAddress mapped, IpAddress::Parse("::ffff:10.0.0.1"));
  ASSERT_OK_AND_ASSIGN(IpAddress plain, IpAddress::Parse("10.0.0.1"));
  EXPECT_EQ(mapped, plain);
  EXPECT_TRUE(mapped.is_v4());
  absl::flat_hash_set<IpAddress> set = {mapped};
  EXPECT_TRUE(set.contains(plain));
}

TEST(SourceKeyTest, IsTheAddressOrTheIpv6Prefix) {
  const auto key = [](absl::string_view text) {
    return SourceKey(*IpAddress::Parse(text)).ToString();
  };
  EXPECT_EQ(key("10.0.0.7"), "10.0.0.7");
  EXPECT_EQ(key("::ffff:10.0.0.7"), "10.0.0.7");
  EXPECT_EQ(key("fd00:1:2:3:4:5:6:7"), "fd00:1:2:3::");
  EXPECT_NE(key("fd00:1:2:4::1"), key("fd00:1:2:3::1"));
}

TEST(IpAddressTest, KnowsLoopbackAndUnspecified) {
  EXPECT_TRUE(IpAddress::Parse("127.3.2.1")->IsLoopback());
  EXPECT_TRUE(IpAddress::Parse("::1")->IsLoopback());
  EXPECT_FALSE(IpAddress::Parse("10.0.0.1")->IsLoopback());
  EXPECT_FALSE(IpAddress::Parse("::2")->IsLoopback());
  EXPECT_TRUE(IpAddress().IsUnspecified());
  EXPECT_TRUE(IpAddress::Parse("::")->IsUnspecified());
  EXPECT_NE(IpAddress(), *IpAddress::Parse("::"));
}

TEST(IpAddressTest, KnowsLinkLocal) {
  EXPECT_TRUE(IpAddress::Parse("fe80::1")->IsLinkLocal());
  EXPECT_TRUE(IpAddress::Parse("febf:ffff::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("fec0::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("fd00::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("fe80::1")->IsIpv4LinkLocal());
  // Of the other family, of which no zone is needed.
  EXPECT_FALSE(IpAddress::Parse("169.254.0.1")->IsLinkLocal());
  EXPECT_TRUE(IpAddress::Parse("169.254.0.1")->IsIpv4LinkLocal());
  EXPECT_TRUE(IpAddress::Parse("::ffff:169.254.169.254")->IsIpv4LinkLocal());
  EXPECT_FALSE(IpAddress::Parse("169.253.255.255")->IsIpv4LinkLocal());
  EXPECT_FALSE(IpAddress::Parse("168.254.0.1")->IsIpv4LinkLocal());
  EXPECT_FALSE(IpAddress::Parse("a9fe::1")->IsIpv4LinkLocal());
}

TEST(SocketAddressTest, ParsesAndPrints) {
  for (absl::string_view text : {"10.0.0.1:80", "[fd00::1]:65535", "0.0.0.0:0", "[::]:15008"}) {
    ASSERT_OK_AND_ASSIGN(SocketAddress address, SocketAddress::Parse(text));
    EXPECT_EQ(address.ToString(), text);
  }
}

TEST(SocketAddressTest, RefusesWhatIsAmbiguousOrIncomplete) {
  for (absl::string_view text :
       {"", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+80",
        "10.0.0.1: 80", "[fe80::1%2]:80", "fd00::1:80", "[10.0.0.1]:80", "[fd00::1]", "[fd00::1:80",
        "host:80"}) {
    EXPECT_THAT(SocketAddress::Parse(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(text))))
        << text;
  }
}

TEST(SocketAddressTest, SurvivesTheWayThroughTheKernelsForm) {
  for (absl::string_view text : {"10.0.0.1:80", "[fd00::1]:443"}) {
    SocketAddress address = *SocketAddress::Parse(text);
    sockaddr_storage storage;
    EXPECT_GT(address.ToSockaddr(&storage), 0u);
    EXPECT_THAT(SocketAddress::FromSockaddr(storage), IsOkAndHolds(address));
  }
  const SocketAddress zoned(*IpAddress::Parse("fe80::1"), 80, 7);
  sockaddr_storage storage;
  zoned.ToSockaddr(&storage);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in6&>(storage).sin6_scope_id, 7u);
  EXPECT_THAT(SocketAddress::FromSockaddr(storage), IsOkAndHolds(zoned));
  sockaddr_storage other = {};
  other.ss_family = AF_UNIX;
  EXPECT_THAT(SocketAddress::FromSockaddr(other), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SocketAddressTest, TellsLinkLocalAddressesOfTwoInterfacesApart) {
  const IpAddress ip = *IpAddress::Parse("fe80::1");
  const SocketAddress a(ip, 80, 2);
  const SocketAddress b(ip, 80, 3);
  EXPECT_NE(a, b);
  EXPECT_EQ(a, SocketAddress(ip, 80, 2));
  EXPECT_EQ(absl::flat_hash_set<SocketAddress>({a, b, a}).size(), 2u);
  EXPECT_EQ(a.ToString(), "[fe80::1%2]:80");
  EXPECT_EQ(a.WithPort(81).ToString(), "[fe80::1%2]:81");
  EXPECT_EQ(a.WithoutZone(), b.WithoutZone());
  EXPECT_EQ(a.WithoutZone().ToString(), "[fe80::1]:80");
}

TEST(SocketAddressTest, GivesAZoneToLinkLocalAddressesAlone) {
  for (absl::string_view text : {"10.0.0.1", "fd00::1", "::1", "::ffff:169.254.0.1"}) {
    const SocketAddress address(*IpAddress::Parse(text), 80, 2);
    EXPECT_EQ(address, SocketAddress(*IpAddress::Parse(text), 80)) << text;
    EXPECT_EQ(address.zone(), 0u);
  }
}

}  // namespace
}  // namespace byrnie
