#include "proxy/inbound_modes.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

TEST(InboundModesTest, StrictUnlessThePortSaysOtherwise) {
  InboundModes modes;
  EXPECT_TRUE(modes.StrictAt(8080));
  modes.strict_at = {{8080, false}, {9090, true}};
  EXPECT_FALSE(modes.StrictAt(8080));
  EXPECT_TRUE(modes.StrictAt(8081));
  modes.strict = false;
  EXPECT_FALSE(modes.StrictAt(8081));
  EXPECT_TRUE(modes.StrictAt(9090));
}

TEST(InboundModesTest, AProbeComesToADeclaredPortFromTheGateway) {
  InboundModes modes;
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.1"), 8080, {Ip("10.0.0.1")}));
  modes.probe_ports = {8080};
  EXPECT_TRUE(modes.IsProbe(Ip("10.0.0.1"), 8080, {Ip("10.0.0.1")}));
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.2"), 8080, {Ip("10.0.0.1")}));
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.1"), 8081, {Ip("10.0.0.1")}));
  // Without a gateway nobody probes.
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.1"), 8080, {}));
}

TEST(InboundModesTest, NamedSourcesReplaceTheGateway) {
  InboundModes modes;
  modes.probe_ports = {8080};
  modes.probe_sources = *ParseCidrBlocks("192.168.1.0/24, fd00::/8");
  EXPECT_TRUE(modes.IsProbe(Ip("192.168.1.77"), 8080, {Ip("10.0.0.1")}));
  EXPECT_TRUE(modes.IsProbe(Ip("fd12::1"), 8080, {}));
  EXPECT_FALSE(modes.IsProbe(Ip("192.168.2.1"), 8080, {}));
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.1"), 8080, {Ip("10.0.0.1")}));
}

TEST(InboundModesTest, NamedSourcesStandBesideTheGatewayWhereThatIsNamedToo) {
  InboundModes modes;
  modes.probe_ports = {8080};
  ASSERT_TRUE(modes.SetProbeSources("192.168.1.7, gateways").ok());
  EXPECT_TRUE(modes.UsesGateways());
  EXPECT_TRUE(modes.IsProbe(Ip("192.168.1.7"), 8080, {Ip("10.0.0.1")}));
  EXPECT_TRUE(modes.IsProbe(Ip("10.0.0.1"), 8080, {Ip("10.0.0.1")}));
  EXPECT_FALSE(modes.IsProbe(Ip("10.0.0.2"), 8080, {Ip("10.0.0.1")}));

  ASSERT_TRUE(modes.SetProbeSources("192.168.1.7").ok());
  EXPECT_FALSE(modes.UsesGateways());
  for (const char* text : {"", "gateways"}) {
    ASSERT_TRUE(modes.SetProbeSources(text).ok());
    EXPECT_TRUE(modes.UsesGateways()) << text;
  }
  EXPECT_FALSE(modes.SetProbeSources("gateways,gateway").ok());
}

TEST(InboundModesTest, ReadsPortModes) {
  EXPECT_THAT(*ParsePortModes(""), IsEmpty());
  EXPECT_THAT(*ParsePortModes("8080=permissive, 9090=strict"),
              UnorderedElementsAre(Pair(8080, false), Pair(9090, true)));
  for (const char* text : {"8080", "8080=", "8080=STRICT", "=strict", "0=strict", "65536=strict",
                           "8080=strict,", "8080=strict,8080=permissive", "-1=strict"}) {
    EXPECT_EQ(ParsePortModes(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(std::string(ParsePortModes("80=on").status().message()), HasSubstr("80=permissive"));
}

TEST(InboundModesTest, ReadsPorts) {
  EXPECT_THAT(*ParsePortSet(" "), IsEmpty());
  EXPECT_THAT(*ParsePortSet("80,8080, 80"), UnorderedElementsAre(80, 8080));
  for (const char* text : {"http", "80;81", "80,,81", "0", "70000"}) {
    EXPECT_EQ(ParsePortSet(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(InboundModesTest, ReadsNetworks) {
  EXPECT_THAT(*ParseCidrBlocks(""), IsEmpty());
  const auto blocks = ParseCidrBlocks("10.1.2.3,fd00::/8");
  ASSERT_THAT(blocks, IsOk());
  ASSERT_THAT(*blocks, SizeIs(2));
  EXPECT_EQ((*blocks)[0].length, 32);
  EXPECT_EQ((*blocks)[1].length, 8);
  // 0.0.0.0/0 would make everyone the node.
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/0", "::/0", "10.0.0.0/x", "node", "10.0.0/8"}) {
    EXPECT_EQ(ParseCidrBlocks(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace byrnie
