#include "common/net/host_port.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(HostPortTest, TakesNamesAndAddresses) {
  for (const char* const good :
       {"a:1", "byrnie-controlplane.byrnie-system.svc:15012", "plane.example.:65535", "my_host:80",
        "127.0.0.1:15012", "[fd00::1]:15012", "[::ffff:10.0.0.1]:1", "[fe80::1%eth0]:15012",
        "[fe80::1%2]:1"}) {
    EXPECT_THAT(CheckHostPort(good), IsOk()) << good;
  }
}

TEST(HostPortTest, RefusesWhatNobodyCouldConnectTo) {
  for (const std::string& wrong : {std::string(),
                                   std::string("foo"),
                                   std::string("foo.svc:99999"),
                                   std::string("foo:0"),
                                   std::string("foo:"),
                                   std::string(":15012"),
                                   std::string("foo:+1"),
                                   std::string("foo: 1"),
                                   std::string("foo:1x"),
                                   std::string("a b:1"),
                                   std::string("a..b:1"),
                                   std::string("-a:1"),
                                   std::string("a-.b:1"),
                                   std::string("fd00::1:15012"),
                                   std::string("[fd00::1]"),
                                   std::string("[fd00::1:1"),
                                   std::string("[10.0.0.1]:1"),
                                   std::string("[fd00::g]:1"),
                                   std::string("[fd00::1%eth0]:1"),
                                   std::string("[fe80::1%]:1"),
                                   std::string("[fe80::1%a b]:1"),
                                   std::string("https://foo:1"),
                                   std::string(64, 'a') + ":1"}) {
    EXPECT_THAT(CheckHostPort(wrong), StatusIs(absl::StatusCode::kInvalidArgument,
                                               HasSubstr("\"" + wrong + "\" is not HOST:PORT")))
        << wrong;
  }
}

}  // namespace
}  // namespace byrnie
