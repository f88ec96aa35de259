#include "common/base/status_macros.h"

#include <memory>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Pointee;

absl::Status ReturnIfError(absl::Status status, bool* went_on) {
  RETURN_IF_ERROR(status);
  *went_on = true;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<int>> Increment(absl::StatusOr<std::unique_ptr<int>> input) {
  ASSIGN_OR_RETURN(std::unique_ptr<int> value, std::move(input));
  ++*value;
  return value;
}

TEST(StatusMacrosTest, ReturnsTheErrorAtOnce) {
  bool went_on = false;
  EXPECT_THAT(ReturnIfError(absl::NotFoundError("no file"), &went_on),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no file")));
  EXPECT_FALSE(went_on);
}

TEST(StatusMacrosTest, GoesOnWhenOk) {
  bool went_on = false;
  EXPECT_THAT(ReturnIfError(absl::OkStatus(), &went_on), IsOk());
  EXPECT_TRUE(went_on);
}

TEST(StatusMacrosTest, AssignsAMoveOnlyValue) {
  EXPECT_THAT(Increment(std::make_unique<int>(4)), IsOkAndHolds(Pointee(5)));
}

TEST(StatusMacrosTest, ReturnsTheErrorInPlaceOfTheValue) {
  EXPECT_THAT(Increment(absl::InternalError("x")), StatusIs(absl::StatusCode::kInternal));
}

TEST(StatusMatchersTest, TellOkFromError) {
  EXPECT_THAT(absl::OkStatus(), IsOk());
  EXPECT_THAT(absl::InternalError("x"), ::testing::Not(IsOk()));
  EXPECT_THAT(absl::InternalError("x"), ::testing::Not(StatusIs(absl::StatusCode::kAborted)));
  EXPECT_THAT(absl::StatusOr<int>(3), IsOkAndHolds(3));
  EXPECT_THAT(absl::StatusOr<int>(3), ::testing::Not(IsOkAndHolds(4)));
  EXPECT_THAT(absl::StatusOr<int>(absl::InternalError("x")), ::testing::Not(IsOkAndHolds(3)));
}

TEST(StatusMatchersTest, UnwrapTheValue) {
  ASSERT_OK_AND_ASSIGN(int value, absl::StatusOr<int>(3));
  EXPECT_EQ(value, 3);
}

}  // namespace
}  // namespace byrnie
