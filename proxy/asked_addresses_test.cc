#include "proxy/asked_addresses.h"

#include "common/event/testing/manual_event_loop.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class AskedAddressesTest : public ::testing::Test {
 protected:
  bool MayAsk(const char* address) { return asked_.MayAsk(*IpAddress::Parse(address)); }

  ManualEventLoop loop_;
  AskedAddresses asked_{&loop_, {absl::Seconds(1), 2}};
};

TEST_F(AskedAddressesTest, AnAddressIsAskedAboutOnceInATime) {
  EXPECT_TRUE(MayAsk("10.0.0.1"));
  EXPECT_FALSE(MayAsk("10.0.0.1"));
  EXPECT_TRUE(MayAsk("10.0.0.2"));
  loop_.AdvanceTime(absl::Milliseconds(999));
  EXPECT_FALSE(MayAsk("10.0.0.1"));
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_TRUE(MayAsk("10.0.0.1"));
  EXPECT_FALSE(MayAsk("10.0.0.1"));
}

TEST_F(AskedAddressesTest, ManyAddressesAreNotAllAskedAbout) {
  EXPECT_TRUE(MayAsk("10.0.0.1"));
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_TRUE(MayAsk("10.0.0.2"));
  EXPECT_FALSE(MayAsk("10.0.0.3"));
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_TRUE(MayAsk("10.0.0.3"));
  EXPECT_FALSE(MayAsk("10.0.0.1"));
}

}  // namespace
}  // namespace byrnie
