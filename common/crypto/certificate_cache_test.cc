#include "common/crypto/certificate_cache.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class CertificateCacheTest : public ::testing::Test {
 protected:
  std::string Der(const std::string& name) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.not_before = absl::FromUnixSeconds(1'800'000'000);
    spec.not_after = spec.not_before + absl::Hours(1);
    return (*BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_))->der();
  }

  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  CertificateCache cache_;
};

TEST_F(CertificateCacheTest, SharesWhatIsTheSame) {
  const std::string one = Der("one");
  ASSERT_OK_AND_ASSIGN(const CertificatePtr first, cache_.FromDer(one));
  ASSERT_OK_AND_ASSIGN(const CertificatePtr again, cache_.FromDer(one));
  ASSERT_OK_AND_ASSIGN(const CertificatePtr other, cache_.FromDer(Der("other")));
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
  EXPECT_EQ(first->Subject(), "CN=one");
  EXPECT_EQ(other->Subject(), "CN=other");
}

TEST_F(CertificateCacheTest, KeepsNothingAlive) {
  const std::string der = Der("gone");
  ASSERT_OK_AND_ASSIGN(CertificatePtr certificate, cache_.FromDer(der));
  const std::weak_ptr<const Certificate> seen = certificate;
  certificate = nullptr;
  EXPECT_TRUE(seen.expired());
  EXPECT_THAT(cache_.FromDer(der), IsOk());
}

TEST_F(CertificateCacheTest, RefusesWhatIsNoCertificateEachTime) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(cache_.FromDer("no certificate"), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(cache_.size(), 0u);
}

TEST_F(CertificateCacheTest, ForgetsThoseThatAreGone) {
  std::vector<CertificatePtr> kept;
  for (int i = 0; i < 10; ++i) {
    kept.push_back(*cache_.FromDer(Der(absl::StrCat("kept ", i))));
  }
  for (int i = 0; i < 500; ++i) {
    EXPECT_THAT(cache_.FromDer(Der(absl::StrCat("gone ", i))), IsOk());
    EXPECT_LE(cache_.size(), 64u);
  }
  for (const CertificatePtr& certificate : kept) {
    EXPECT_EQ(*cache_.FromDer(certificate->der()), certificate);
  }
}

TEST_F(CertificateCacheTest, ServesSeveralThreads) {
  const std::string shared = Der("shared");
  const CertificatePtr certificate = *cache_.FromDer(shared);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string own = Der(absl::StrCat("thread ", i));
      for (int j = 0; j < 200; ++j) {
        EXPECT_EQ(*cache_.FromDer(shared), certificate);
        EXPECT_THAT(cache_.FromDer(own), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace byrnie
