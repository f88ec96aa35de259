#include "common/crypto/sealing_key.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SecretBytes Secret(std::string text) { return SecretBytes::TakeFrom(&text); }

// Not all printable, and not all the same.
std::string RawKey(char first = '\x01') {
  std::string bytes;
  for (size_t i = 0; i < SealingKey::kSize; ++i) bytes.push_back(static_cast<char>(first + i));
  return bytes;
}

std::shared_ptr<const SealingKey> Key(char first = '\x01') {
  auto key = SealingKey::FromBytes(Secret(RawKey(first)));
  EXPECT_THAT(key, IsOk());
  return *key;
}

TEST(SealingKeyTest, OpensWhatItSealed) {
  auto sealed = Key()->Seal(Secret("the secret"), "record/a");
  ASSERT_THAT(sealed, IsOk());
  EXPECT_TRUE(SealingKey::IsSealed(*sealed));
  EXPECT_THAT(*sealed, Not(HasSubstr("secret")));
  auto opened = Key()->Open(*sealed, "record/a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->view(), "the secret");
}

TEST(SealingKeyTest, SealsTheSameSecretDifferentlyEachTime) {
  EXPECT_NE(*Key()->Seal(Secret("x"), "a"), *Key()->Seal(Secret("x"), "a"));
}

TEST(SealingKeyTest, KeepsAnEmptySecret) {
  auto opened = Key()->Open(*Key()->Seal(SecretBytes(), "a"), "a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE(opened->empty());
}

TEST(SealingKeyTest, RefusesTheSecretOfAnotherRecord) {
  const std::string sealed = *Key()->Seal(Secret("x"), "record/a");
  EXPECT_THAT(Key()->Open(sealed, "record/b"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(SealingKeyTest, NamesBothKeysWhenItIsTheWrongOne) {
  const std::string sealed = *Key()->Seal(Secret("x"), "a");
  EXPECT_THAT(Key('\x02')->Open(sealed, "a"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Key()->id())));
  EXPECT_THAT(Key('\x02')->Open(sealed, "a"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Key('\x02')->id())));
}

TEST(SealingKeyTest, RefusesEveryChangedByteAndEveryCut) {
  const std::string sealed = *Key()->Seal(Secret("the secret"), "a");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(Key()->Open(changed, "a").ok()) << i;
    EXPECT_FALSE(Key()->Open(sealed.substr(0, i), "a").ok()) << i;
  }
  EXPECT_FALSE(Key()->Open(sealed + "x", "a").ok());
}

TEST(SealingKeyTest, ReadsRawHexadecimalAndBase64Alike) {
  const std::string raw = RawKey();
  const std::string id = Key()->id();
  for (const std::string& text :
       {raw, absl::BytesToHexString(raw), absl::BytesToHexString(raw) + "\n",
        absl::Base64Escape(raw), " " + absl::Base64Escape(raw) + "\r\n"}) {
    auto key = SealingKey::Parse(Secret(text));
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ((*key)->id(), id);
  }
}

TEST(SealingKeyTest, RefusesWhatIsNoKeyWithoutQuotingIt) {
  const std::string hex = absl::BytesToHexString(RawKey());
  for (const std::string& text :
       {std::string(), std::string("hunter2"), std::string(32, 'p'), std::string(32, '\0'),
        hex.substr(2), hex.substr(1) + "g", std::string(44, '!'), std::string(33, '\x01')}) {
    auto key = SealingKey::Parse(Secret(text));
    EXPECT_THAT(key, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("32 random bytes")));
    EXPECT_THAT(key.status().message(), Not(HasSubstr("hunter2")));
  }
  EXPECT_THAT(SealingKey::Parse(Secret("correct horse battery staple 123")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("text instead")));
}

TEST(SealingKeyTest, TellsSealedFromPlainKeys) {
  EXPECT_FALSE(SealingKey::IsSealed(""));
  EXPECT_FALSE(SealingKey::IsSealed("BYS1"));
  EXPECT_FALSE(SealingKey::IsSealed(std::string("\x30\x81\x87", 3) + std::string(200, 'x')));
}

}  // namespace
}  // namespace byrnie
