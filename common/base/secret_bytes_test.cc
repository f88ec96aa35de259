#include "common/base/secret_bytes.h"

#include <cstring>
#include <type_traits>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(SecretBytesTest, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible<SecretBytes>::value);
  EXPECT_FALSE(std::is_copy_assignable<SecretBytes>::value);
}

TEST(SecretBytesTest, HoldsWhatItWasGiven) {
  SecretBytes secret(Bytes("hunter2"));
  EXPECT_EQ(secret.view(), "hunter2");
  EXPECT_EQ(secret.Clone().view(), "hunter2");
}

TEST(SecretBytesTest, MovingLeavesNothingBehind) {
  SecretBytes a(Bytes("hunter2"));
  SecretBytes b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT: the moved-from state is the subject.
  EXPECT_EQ(b.view(), "hunter2");
}

TEST(SecretBytesTest, TakingFromAStringWipesIt) {
  std::string text = "a secret that is longer than the small string buffer";
  const char* storage = text.data();
  SecretBytes secret = SecretBytes::TakeFrom(&text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(text.data(), storage);
  EXPECT_EQ(storage[0], '\0');
  EXPECT_EQ(secret.view(), "a secret that is longer than the small string buffer");
}

TEST(SecretBytesTest, ComparesContent) {
  SecretBytes secret(Bytes("abc"));
  EXPECT_TRUE(secret.ConstantTimeEquals(Bytes("abc")));
  EXPECT_FALSE(secret.ConstantTimeEquals(Bytes("abd")));
  EXPECT_FALSE(secret.ConstantTimeEquals(Bytes("ab")));
  EXPECT_TRUE(SecretBytes().ConstantTimeEquals({}));
}

}  // namespace
}  // namespace byrnie
