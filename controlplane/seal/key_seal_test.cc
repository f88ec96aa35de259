#include "controlplane/seal/key_seal.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHexA[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0";
constexpr char kHexB[] = "10112233445566778899aabbccddeeff00112233445566778899aabbccddeef0";

SecretBytes Secret(std::string text) { return SecretBytes::TakeFrom(&text); }
std::shared_ptr<const SealingKey> Key(const char* hex) { return *SealingKey::Parse(Secret(hex)); }

TEST(KeySealTest, WithoutAKeyKeepsKeysAsTheyAre) {
  const KeySeal seal;
  auto stored = seal.Protect(Secret("0key"), "root/a");
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(*stored, "0key");
  auto opened = seal.Open(*stored, "root/a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->key.view(), "0key");
  EXPECT_FALSE(opened->stale);
}

TEST(KeySealTest, WithAKeyTheStoreHasNothingOfTheKey) {
  const KeySeal seal(Key(kHexA));
  auto stored = seal.Protect(Secret("0key"), "root/a");
  ASSERT_THAT(stored, IsOk());
  EXPECT_THAT(*stored, Not(HasSubstr("0key")));
  auto opened = seal.Open(*stored, "root/a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->key.view(), "0key");
  EXPECT_FALSE(opened->stale);
}

TEST(KeySealTest, AKeyFoundUnsealedIsToBeStoredAgain) {
  auto opened = KeySeal(Key(kHexA)).Open("0key", "root/a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->key.view(), "0key");
  EXPECT_TRUE(opened->stale);
}

TEST(KeySealTest, ThePreviousKeyOpensAndTheNewOneSeals) {
  const std::string stored = *KeySeal(Key(kHexA)).Protect(Secret("0key"), "root/a");
  const KeySeal both(Key(kHexB), Key(kHexA));
  auto opened = both.Open(stored, "root/a");
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->key.view(), "0key");
  EXPECT_TRUE(opened->stale);
  auto again = both.Open(*both.Protect(opened->key, "root/a"), "root/a");
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->stale);
}

TEST(KeySealTest, AMissingOrWrongKeySaysWhatToGive) {
  const std::string stored = *KeySeal(Key(kHexA)).Protect(Secret("0key"), "root/a");
  EXPECT_THAT(KeySeal().Open(stored, "root/a"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("root/a"), HasSubstr("--store_key"))));
  for (const KeySeal& wrong : {KeySeal(Key(kHexB)), KeySeal(Key(kHexB), Key(kHexB))}) {
    EXPECT_THAT(wrong.Open(stored, "root/a"),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(Key(kHexA)->id()), HasSubstr("--store_key_previous"))));
  }
}

TEST(KeySealTest, AKeyMovedToAnotherRecordIsRefused) {
  const KeySeal seal(Key(kHexA));
  EXPECT_THAT(seal.Open(*seal.Protect(Secret("0key"), "root/a"), "root/b"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("backup")));
}

class ReadSealingKeyTest : public ::testing::Test {
 protected:
  const std::string path_ =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(ReadSealingKeyTest, NothingGivenIsNoKey) {
  auto key = ReadSealingKey("");
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(*key, nullptr);
}

TEST_F(ReadSealingKeyTest, ReadsAFileForItsOwnerOrItsGroup) {
  for (mode_t mode : {0400, 0600, 0440, 0640}) {
    ASSERT_THAT(WriteFileAtomically(path_, kHexA, mode), IsOk());
    auto key = ReadSealingKey(path_);
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ((*key)->id(), Key(kHexA)->id());
  }
}

TEST_F(ReadSealingKeyTest, RefusesAFileThatOthersReadOrTheGroupWrites) {
  for (mode_t mode : {0604, 0644, 0660, 0602}) {
    ASSERT_THAT(WriteFileAtomically(path_, kHexA, mode), IsOk());
    EXPECT_THAT(ReadSealingKey(path_),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 600")));
  }
}

TEST_F(ReadSealingKeyTest, SaysWhatIsWrongWithAFile) {
  EXPECT_THAT(ReadSealingKey(path_ + ".none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  ASSERT_THAT(WriteFileAtomically(path_, "hunter2", 0600), IsOk());
  EXPECT_THAT(ReadSealingKey(path_), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr(path_), HasSubstr("openssl rand"),
                                                    Not(HasSubstr("hunter2")))));
}

TEST_F(ReadSealingKeyTest, TakesAVariableAndLeavesNothingOfIt) {
  ::setenv("BYRNIE_TEST_STORE_KEY", kHexA, 1);
  const char* const where = ::getenv("BYRNIE_TEST_STORE_KEY");
  auto key = ReadSealingKey("env:BYRNIE_TEST_STORE_KEY");
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ((*key)->id(), Key(kHexA)->id());
  EXPECT_EQ(::getenv("BYRNIE_TEST_STORE_KEY"), nullptr);
  EXPECT_EQ(where[0], '\0');
  EXPECT_THAT(ReadSealingKey("env:BYRNIE_TEST_STORE_KEY"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("BYRNIE_TEST_STORE_KEY")));
}

}  // namespace
}  // namespace byrnie
