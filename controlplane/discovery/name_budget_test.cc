#include "controlplane/discovery/name_budget.h"

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMost = NameBudget::kMaxIdentityBytes - NameBudget::kStreamBytes;

TEST(NameBudgetTest, BoundsTheStreamsOfAnIdentity) {
  NameBudget budget;
  std::vector<std::unique_ptr<NameBudget::Share>> shares;
  for (size_t i = 0; i < NameBudget::kMaxIdentityBytes / NameBudget::kStreamBytes; ++i) {
    auto share = budget.Open("alice");
    ASSERT_THAT(share, IsOk());
    shares.push_back(*std::move(share));
  }
  EXPECT_THAT(budget.Open("alice").status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("alice")));
  EXPECT_THAT(budget.Open("bob"), IsOk());
  shares.pop_back();
  EXPECT_THAT(budget.Open("alice"), IsOk());
}

TEST(NameBudgetTest, BoundsWhatAllStreamsOfAnIdentityName) {
  NameBudget budget;
  auto first = *budget.Open("alice"), second = *budget.Open("alice"), other = *budget.Open("bob");
  EXPECT_THAT(first->Hold(kMost - NameBudget::kStreamBytes - 10), IsOk());
  EXPECT_THAT(second->Hold(10), IsOk());
  EXPECT_THAT(second->Hold(11),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("streams of alice")));
  EXPECT_THAT(other->Hold(kMost), IsOk());
  // What one gives up another may have, and so what one held that is gone.
  EXPECT_THAT(first->Hold(kMost - NameBudget::kStreamBytes - 20), IsOk());
  EXPECT_THAT(second->Hold(20), IsOk());
  first = nullptr;
  EXPECT_THAT(second->Hold(kMost), IsOk());
}

TEST(NameBudgetTest, BoundsWhatAllHoldAndLeavesThoseWhoHoldLittleAlone) {
  NameBudget budget;
  std::vector<std::unique_ptr<NameBudget::Share>> shares;
  for (size_t held = 0; held < NameBudget::kMaxBytes; held += NameBudget::kMaxIdentityBytes) {
    shares.push_back(*budget.Open(absl::StrCat("greedy-", held)));
    ASSERT_THAT(shares.back()->Hold(kMost), IsOk());
  }
  auto small = *budget.Open("small");
  const size_t always = NameBudget::kAlwaysBytes - NameBudget::kStreamBytes;
  EXPECT_THAT(small->Hold(always), IsOk());
  EXPECT_THAT(small->Hold(always + 1),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("run more control planes")));
  // Less is never too much.
  EXPECT_THAT(shares.back()->Hold(kMost - 1), IsOk());
  shares.pop_back();
  EXPECT_THAT(small->Hold(always + 1), IsOk());
}

}  // namespace
}  // namespace byrnie
