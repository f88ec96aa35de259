#include "common/crypto/token/bearer_token.h"

#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(BearerTokenTest, IsThirtyTwoBytesOfBase64UrlWithoutPadding) {
  const SecretBytes token = GenerateBearerToken();
  EXPECT_EQ(token.size(), 43u);
  std::string decoded;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(token.view(), &decoded));
  EXPECT_EQ(decoded.size(), 32u);
  std::string encoded;
  absl::WebSafeBase64Escape(decoded, &encoded);
  EXPECT_EQ(encoded.substr(0, 43), token.view());
}

TEST(BearerTokenTest, NeverRepeats) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(std::string(GenerateBearerToken().view()));
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(BearerTokenTest, HashIsSha256) {
  EXPECT_EQ(absl::BytesToHexString(HashBearerToken("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(BearerTokenTest, HashesAreEqualOnlyWhenAllBytesAre) {
  EXPECT_TRUE(TokenHashesEqual(HashBearerToken("a"), HashBearerToken("a")));
  EXPECT_FALSE(TokenHashesEqual(HashBearerToken("a"), HashBearerToken("b")));
  EXPECT_FALSE(TokenHashesEqual(HashBearerToken("a"), ""));
}

}  // namespace
}  // namespace byrnie
