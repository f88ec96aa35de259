#include "proxy/inbound.h"

#include "common/net/socket_address.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/proxy_config.h"

namespace byrnie {
namespace {

ProxyConfig Config() {
  ProxyConfig config;
  config.admin = *SocketAddress::Parse("127.0.0.1:15000");
  return config;
}

InboundTarget Check(const char* local, absl::string_view authority) {
  return CheckAuthority(Config(), *IpAddress::Parse(local), authority);
}

TEST(CheckAuthorityTest, TakesItsOwnAddressWithAPort) {
  const InboundTarget v4 = Check("10.0.0.1", "10.0.0.1:8080");
  EXPECT_EQ(v4.http_status, 200);
  EXPECT_EQ(v4.address.ToString(), "10.0.0.1:8080");
  EXPECT_EQ(Check("fd00::1", "[fd00::1]:8080").http_status, 200);
}

TEST(CheckAuthorityTest, RefusesEveryOtherAddress) {
  for (const char* authority : {"10.0.0.2:8080", "127.0.0.1:8080", "0.0.0.0:8080", "[::1]:8080"}) {
    const InboundTarget target = Check("10.0.0.1", authority);
    EXPECT_EQ(target.http_status, 400) << authority;
    EXPECT_EQ(target.reason, access_reason::kBadConnectRequest);
  }
}

TEST(CheckAuthorityTest, RefusesWhatIsNotAnAddressAndAPort) {
  for (const char* authority :
       {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "localhost:80",
        "10.0.0.1:80@10.0.0.1:81", "10.0.0.1:80/", " 10.0.0.1:80"}) {
    EXPECT_EQ(Check("10.0.0.1", authority).http_status, 400) << authority;
  }
}

TEST(CheckAuthorityTest, RefusesTheSidecarsOwnPorts) {
  for (const char* authority :
       {"10.0.0.1:15000", "10.0.0.1:15001", "10.0.0.1:15006", "10.0.0.1:15008", "10.0.0.1:15010",
        "10.0.0.1:15020", "10.0.0.1:15021"}) {
    const InboundTarget target = Check("10.0.0.1", authority);
    EXPECT_EQ(target.http_status, 403) << authority;
    EXPECT_EQ(target.reason, access_reason::kLoop);
  }
}

}  // namespace
}  // namespace byrnie
