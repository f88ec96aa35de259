#include "common/crypto/sha256_fingerprint.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

// FIPS 180-4 examples.
TEST(Sha256FingerprintTest, MatchesTheStandardsExamples) {
  EXPECT_EQ(Sha256FingerprintHex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256FingerprintHex(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256FingerprintTest, ThePrefixIsItsFirstEightBytes) {
  EXPECT_EQ(Sha256Prefix("abc"), 0xba7816bf8f01cfeau);
  EXPECT_EQ(Sha256Prefix(""), 0xe3b0c44298fc1c14u);
}

TEST(Sha256FingerprintTest, TheShortOneIsItsBeginning) {
  EXPECT_EQ(ShortFingerprint(Sha256FingerprintHex("abc")), "ba7816bf8f01");
  EXPECT_EQ(ShortFingerprint("ab"), "ab");
}

}  // namespace
}  // namespace byrnie
