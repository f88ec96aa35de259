#include "deploy/redirect/redirect_options.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// Empty: they are taken. What becomes of those that are is in ruleset_test.cc.
std::string ErrorOf(const RedirectOptions& options) {
  return std::string(CheckOptions(options).status().message());
}

TEST(CheckOptionsTest, RefusesToLetEverythingOut) {
  const auto expect = [](void (*set)(RedirectOptions&), const char* flag) {
    RedirectOptions options;
    set(options);
    EXPECT_THAT(ErrorOf(options), HasSubstr(absl::StrCat(flag, " would let everything out; ")));
  };
  expect([](RedirectOptions& o) { o.exclude_outbound_cidrs = {"*"}; },
         "--exclude_outbound_cidrs: *");
  expect([](RedirectOptions& o) { o.exclude_outbound_cidrs = {"0.0.0.0/0"}; },
         "--exclude_outbound_cidrs: 0.0.0.0/0");
  expect([](RedirectOptions& o) { o.exclude_outbound_ports = {"*"}; },
         "--exclude_outbound_ports: *");
  expect(
      [](RedirectOptions& o) {
        o.exclude_inbound_ports = {"80", "*"};
      },
      "--exclude_inbound_ports: *");
  expect([](RedirectOptions& o) { o.exclude_outbound_ports = {"1-65535"}; },
         "--exclude_outbound_ports: 1-65535");
  expect(
      [](RedirectOptions& o) {
        o.exclude_outbound_ports = {"30001-65535", "1-30000"};
      },
      "--exclude_outbound_ports: all of these together");
  expect(
      [](RedirectOptions& o) {
        o.exclude_inbound_ports = {"1-15000", "15002-15005", "15007-65535"};
      },
      "--exclude_inbound_ports: all of these together");
  expect([](RedirectOptions& o) { o.exclude_uids = {"0-4294967294"}; },
         "--exclude_uids: 0-4294967294");
  expect(
      [](RedirectOptions& o) {
        o.exclude_uids = {"0-1336", "1338-4294967294"};
      },
      "--exclude_uids: all of these together");
  expect([](RedirectOptions& o) { o.exclude_gids = {"0-4294967294"}; },
         "--exclude_gids: 0-4294967294");
  expect(
      [](RedirectOptions& o) {
        o.exclude_outbound_cidrs = {"0.0.0.0/1", "128.0.0.0/1"};
      },
      "--exclude_outbound_cidrs: all of these together");
  expect(
      [](RedirectOptions& o) {
        o.exclude_outbound_cidrs = {"::/1",     "8000::/2", "c000::/3", "e000::/4",
                                    "f000::/5", "f800::/6", "fc00::/7", "fe00::/8"};
      },
      "--exclude_outbound_cidrs: all of these together");
}

TEST(CheckOptionsTest, LetsNearlyEverythingOut) {
  RedirectOptions options;
  options.exclude_outbound_ports = {"1-79", "81-65535"};
  options.exclude_inbound_ports = {"1-79", "81-15000", "15007-65535"};
  options.exclude_uids = {"0-999", "1001-4294967294"};
  options.exclude_gids = {"1-4294967294"};
  options.exclude_outbound_cidrs = {"0.0.0.0/1", "128.0.0.0/2", "::/1"};
  EXPECT_EQ(ErrorOf(options), "");
}

TEST(CheckOptionsTest, RefusesAnIncludeListThatLeadsNothingToTheProxy) {
  const auto expect = [](void (*set)(RedirectOptions&), const char* flag) {
    RedirectOptions options;
    set(options);
    EXPECT_THAT(ErrorOf(options),
                HasSubstr(absl::StrCat(flag, " would lead nothing to the proxy, because ")));
  };
  expect([](RedirectOptions& o) { o.include_outbound_cidrs = {"127.0.0.0/8"}; },
         "--include_outbound_cidrs: 127.0.0.0/8");
  expect(
      [](RedirectOptions& o) {
        o.include_outbound_cidrs = {"::1", "10.1.0.0/16"};
        o.exclude_outbound_cidrs = {"10.0.0.0/9", "10.128.0.0/9"};
      },
      "--include_outbound_cidrs: all of these");
  expect([](RedirectOptions& o) { o.include_inbound_ports = {"15020-15022"}; },
         "--include_inbound_ports: 15020-15022");
  RedirectOptions some;
  some.include_outbound_cidrs = {"127.0.0.0/8"};
  some.include_outbound_ports = {"80"};
  EXPECT_EQ(ErrorOf(some), "");
}

TEST(CheckOptionsTest, WarnsWhereTheProxysUserIsExcludedByItself) {
  RedirectOptions options;
  options.exclude_uids = {"1337"};
  EXPECT_THAT(CheckOptions(options)->warnings,
              ElementsAre(HasSubstr("--exclude_uids: 1337 is the proxy's own user")));
  options.exclude_uids = {"1000-1999"};
  EXPECT_THAT(CheckOptions(options)->warnings, IsEmpty());
}

TEST(CheckOptionsTest, RefusesInterfacesThatLeaveNothingToTheProxyWhereItIsKnownWhichThereAre) {
  RedirectOptions options;
  options.exclude_interfaces = {"eth0", "net1"};
  RedirectMatches matches = *CheckOptions(options);
  EXPECT_THAT(std::string(CheckInterfacesThatAreUp(matches, {"eth0"}).message()),
              StartsWith("--exclude_interfaces: eth0, where no other interface of the pod is up, "
                         "would let everything out; "));
  EXPECT_TRUE(CheckInterfacesThatAreUp(matches, {"eth0", "eth1"}).ok());
  EXPECT_TRUE(CheckInterfacesThatAreUp(matches, {}).ok());
  options = {};
  options.include_interfaces = {"net1"};
  matches = *CheckOptions(options);
  EXPECT_THAT(std::string(CheckInterfacesThatAreUp(matches, {"eth0", "eth1"}).message()),
              StartsWith("--include_interfaces: net1 would lead nothing to the proxy, because what "
                         "is up in the pod is eth0,eth1; "));
  EXPECT_TRUE(CheckInterfacesThatAreUp(matches, {"net1"}).ok());
}

}  // namespace
}  // namespace byrnie
