#include "proxy/default_gateways.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

constexpr char kHeader[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

TEST(DefaultGatewaysTest, FindsTheGatewayOfTheIpv4DefaultRoute) {
  const std::string table = std::string(kHeader) +
                            "eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
                            "eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
  EXPECT_THAT(ParseIpv4Gateways(table), UnorderedElementsAre(Ip("10.77.0.1")));
}

TEST(DefaultGatewaysTest, LeavesOutOtherIpv4Routes) {
  for (const char* line :
       {// To a network, down, on the link alone, half of all addresses, garbage.
        "eth0\t0000000A\t01004D0A\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n",
        "eth0\t00000000\t01004D0A\t0002\t0\t0\t0\t00000000\t0\t0\t0\n",
        "eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n",
        "eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n",
        "eth0\t00000000\tgateway!\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth0\t00000000\n", ""}) {
    EXPECT_THAT(ParseIpv4Gateways(std::string(kHeader) + line), IsEmpty()) << line;
  }
}

TEST(DefaultGatewaysTest, FindsEveryIpv6DefaultRoute) {
  const std::string table =
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "fd770000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "fe800000000000000000000000000001 00000401 00000001 00000000 00000003     eth0\n"
      "fd770000000000000000000000000000 40 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
  EXPECT_THAT(ParseIpv6Gateways(table), UnorderedElementsAre(Ip("fd77::1"), Ip("fe80::1")));
  EXPECT_THAT(ParseIpv6Gateways("rubbish\n"), IsEmpty());
}

}  // namespace
}  // namespace byrnie
