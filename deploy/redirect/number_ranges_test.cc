#include "deploy/redirect/number_ranges.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

NumberRanges Ports(const std::vector<std::string>& items) {
  absl::StatusOr<NumberRanges> ranges = NumberRanges::Parse("ports", items, 1, 65535);
  EXPECT_TRUE(ranges.ok()) << ranges.status();
  return ranges.ok() ? *ranges : NumberRanges();
}

TEST(NumberRangesTest, ListsNumbersInOrderAndOnce) {
  EXPECT_EQ(Ports({"80"}).ToNft(), "80");
  EXPECT_EQ(Ports({"9100", "22", "80", "22"}).ToNft(), "{ 22, 80, 9100 }");
}

TEST(NumberRangesTest, LeavesNeighboursApartWhereThereIsNoRange) {
  EXPECT_EQ(Ports({"15020", "15021"}).ToNft(), "{ 15020, 15021 }");
}

TEST(NumberRangesTest, MergesWhatOverlapsOrTouchesARange) {
  EXPECT_EQ(Ports({"8000-8100", "8101", "8050-8090", "22", "23"}).ToNft(), "{ 22-23, 8000-8101 }");
  EXPECT_EQ(Ports({"1-65535", "80"}).ToNft(), "1-65535");
}

TEST(NumberRangesTest, FindsANumberThatTwoHave) {
  uint32_t common = 0;
  EXPECT_FALSE(Ports({"22", "80-90"}).Overlaps(Ports({"91", "23-79"}), &common));
  EXPECT_TRUE(Ports({"22", "80-90"}).Overlaps(Ports({"85-100"}), &common));
  EXPECT_EQ(common, 85);
  EXPECT_TRUE(Ports({"80-90"}).Contains(90));
  EXPECT_FALSE(Ports({"80-90"}).Contains(91));
}

TEST(NumberRangesTest, CoversWhatItHasAllOf) {
  EXPECT_TRUE(Ports({"80-90", "91", "92-95"}).Covers(Ports({"85-93", "95"})));
  EXPECT_TRUE(Ports({"80"}).Covers(Ports({})));
  EXPECT_FALSE(Ports({}).Covers(Ports({"80"})));
  EXPECT_FALSE(Ports({"80-90", "92-95"}).Covers(Ports({"85-93"})));
  EXPECT_FALSE(Ports({"80-90"}).Covers(Ports({"79"})));
  EXPECT_FALSE(Ports({"80-90"}).Covers(Ports({"80", "91"})));
  EXPECT_TRUE(Ports({"2-65535", "1"}).Covers(Ports({"1-65535"})));
}

TEST(NumberRangesTest, TakesAsManyItemsAsThereAre) {
  std::vector<std::string> items, others;
  for (uint32_t port = 65535; port > 1; port -= 2) {
    items.push_back(std::to_string(port));
    others.push_back(std::to_string(port - 1));
  }
  // Twice, so that most of them are there already.
  const std::vector<std::string> again = items;
  items.insert(items.end(), again.begin(), again.end());
  const NumberRanges odd = Ports(items), even = Ports(others);
  EXPECT_EQ(odd.Items().size(), others.size());
  uint32_t common = 0;
  EXPECT_FALSE(odd.Overlaps(even, &common));
  EXPECT_FALSE(even.Overlaps(odd, &common));
}

TEST(NumberRangesTest, RefusesWhatIsNoNumberInTheLimits) {
  for (const char* item : {"", "x", "0", "65536", "90-80", "1-", "-1", "1-2-3", "80; drop"}) {
    absl::StatusOr<NumberRanges> ranges = NumberRanges::Parse("ports", {item}, 1, 65535);
    EXPECT_EQ(ranges.status().code(), absl::StatusCode::kInvalidArgument) << item;
    EXPECT_THAT(std::string(ranges.status().message()), HasSubstr("--ports")) << item;
  }
}

TEST(NumberRangesTest, TakesTheWholeRangeOfUserIds) {
  absl::StatusOr<NumberRanges> ranges =
      NumberRanges::Parse("uids", {"0", "4294967294"}, 0, 4294967294);
  ASSERT_TRUE(ranges.ok());
  EXPECT_EQ(ranges->ToNft(), "{ 0, 4294967294 }");
}

}  // namespace
}  // namespace byrnie
