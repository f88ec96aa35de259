#include "common/crypto/ssl_error.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/err.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(SslErrorTest, EmptiesTheQueueIntoLowerCaseText) {
  OPENSSL_PUT_ERROR(X509, X509_R_CERT_ALREADY_IN_HASH_TABLE);
  EXPECT_EQ(DrainSslErrors(), "cert already in hash table");
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(SslErrorTest, IsNeverEmpty) { EXPECT_EQ(DrainSslErrors(), "no reason given"); }

TEST(SslErrorTest, KeepsTheOldestFourOfMany) {
  for (int i = 0; i < 10; ++i) OPENSSL_PUT_ERROR(X509, X509_R_CERT_ALREADY_IN_HASH_TABLE);
  EXPECT_EQ(DrainSslErrors(),
            "cert already in hash table; cert already in hash table; cert already in hash table; "
            "cert already in hash table");
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(SslErrorTest, MakesAStatusThatSaysWhatFailed) {
  OPENSSL_PUT_ERROR(X509, X509_R_CERT_ALREADY_IN_HASH_TABLE);
  EXPECT_THAT(SslError(absl::StatusCode::kInternal, "cannot add"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("cannot add: cert already")));
}

}  // namespace
}  // namespace byrnie
