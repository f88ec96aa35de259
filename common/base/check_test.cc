#include "common/base/check.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(CheckTest, PassesWhenTheConditionHolds) {
  CHECK(true);
  CHECK_EQ(1, 1);
  CHECK_LT(1, 2);
  CHECK_OK(absl::OkStatus());
  CHECK_OK(absl::StatusOr<int>(1));
}

TEST(CheckDeathTest, NamesFileAndConditionWhenItFails) {
  EXPECT_DEATH(CHECK(1 > 2), "check_test.cc:[0-9]+: check failed: 1 > 2");
  EXPECT_DEATH(CHECK_OK(absl::InternalError("broken")), "INTERNAL: broken");
}

TEST(CheckDeathTest, DcheckFollowsTheBuild) {
#ifdef NDEBUG
  DCHECK(false);
#else
  EXPECT_DEATH(DCHECK(false), "check failed");
#endif
}

TEST(CheckTest, CanBeUsedInAnIfWithoutBraces) {
  bool reached_else = false;
  if (false)
    CHECK(true);
  else
    reached_else = true;
  EXPECT_TRUE(reached_else);
}

}  // namespace
}  // namespace byrnie
