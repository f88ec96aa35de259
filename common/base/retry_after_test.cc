#include "common/base/retry_after.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(RetryAfterTest, IsAbsentFromAnErrorThatDoesNotSay) {
  EXPECT_EQ(RetryAfter(absl::UnavailableError("down")), absl::nullopt);
  EXPECT_EQ(RetryAfter(absl::OkStatus()), absl::nullopt);
}

TEST(RetryAfterTest, TravelsWithTheErrorAndLeavesItsMessageAlone) {
  absl::Status status = absl::ResourceExhaustedError("too many");
  SetRetryAfter(&status, absl::Milliseconds(7500));
  const absl::Status copy = status;
  EXPECT_EQ(RetryAfter(copy), absl::Milliseconds(7500));
  EXPECT_EQ(copy.message(), "too many");
  ClearRetryAfter(&status);
  EXPECT_EQ(RetryAfter(status), absl::nullopt);
}

}  // namespace
}  // namespace byrnie
