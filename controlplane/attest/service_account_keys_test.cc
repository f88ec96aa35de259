#include "controlplane/attest/service_account_keys.h"

#include <unistd.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class ServiceAccountKeysTest : public ::testing::Test {
 protected:
  ServiceAccountKeysTest() {
    keys_ = std::make_unique<ServiceAccountKeys>(
        "td", std::vector<std::string>{"byrnie"}, &client_, &loop_, random_, &logger_,
        [this](JwtTrustPtr trust) { trusts_.push_back(std::move(trust)); });
    Settle();
  }
  void Settle() { loop_.AdvanceTime(absl::Milliseconds(1)); }
  std::string KeySet() { return JwkSetOf({JwkOf(*key_, R"("kid":"k1",)")}); }

  ManualEventLoop loop_;
  std::mt19937 random_{3};
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  FakeApiClient client_;
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  std::vector<JwtTrustPtr> trusts_;
  std::unique_ptr<ServiceAccountKeys> keys_;
};

TEST_F(ServiceAccountKeysTest, FetchesTheIssuerAndItsKeysFromTimeToTime) {
  EXPECT_EQ(client_.last().target, "/.well-known/openid-configuration");
  client_.Answer(200, R"({"issuer":"https://kube","jwks_uri":"https://elsewhere/jwks"})");
  Settle();
  EXPECT_EQ(client_.last().target, "/openid/v1/jwks");
  EXPECT_EQ(client_.last().accept, "application/jwk-set+json");
  client_.Answer(200, KeySet());
  ASSERT_EQ(trusts_.size(), 1u);
  EXPECT_EQ(trusts_[0]->issuers[0].issuer.name, "https://kube");
  EXPECT_NE(trusts_[0]->issuers[0].keys->Find("k1"), nullptr);
  loop_.AdvanceTime(ServiceAccountKeys::kInterval);
  EXPECT_EQ(client_.last().target, "/.well-known/openid-configuration");
}

TEST_F(ServiceAccountKeysTest, TriesAgainAfterWhatItCannotUse) {
  client_.Answer(403, "{}");
  loop_.AdvanceTime(absl::Seconds(10));
  ASSERT_EQ(client_.size(), 2u);
  client_.Answer(200, "no JSON");
  loop_.AdvanceTime(absl::Seconds(20));
  ASSERT_EQ(client_.size(), 3u);
  client_.Answer(200, R"({"issuer":"https://kube"})");
  Settle();
  client_.Answer(200, R"({"keys":[]})");
  EXPECT_TRUE(trusts_.empty());
  loop_.AdvanceTime(absl::Minutes(5));
  EXPECT_EQ(client_.size(), 5u);
}

TEST_F(ServiceAccountKeysTest, FetchesSoonerWhenAskedButNotAllTheTime) {
  const auto answer = [&] {
    client_.Answer(200, R"({"issuer":"https://kube"})");
    Settle();
    client_.Answer(200, KeySet());
  };
  answer();
  const size_t before = client_.size();
  for (int i = 0; i < 5; ++i) {
    keys_->FetchSoon();
    Settle();
  }
  EXPECT_EQ(client_.size(), before);
  loop_.AdvanceTime(ServiceAccountKeys::kLeastInterval);
  keys_->FetchSoon();
  Settle();
  EXPECT_EQ(client_.size(), before + 1);
  // One is under way.
  loop_.AdvanceTime(ServiceAccountKeys::kLeastInterval);
  keys_->FetchSoon();
  Settle();
  EXPECT_EQ(client_.size(), before + 1);
  answer();
  EXPECT_EQ(trusts_.size(), 2u);
  keys_->FetchSoon();
  Settle();
  EXPECT_EQ(client_.last().target, "/.well-known/openid-configuration");
  // Nor after a failure.
  client_.Answer(503, "");
  const size_t failed = client_.size();
  keys_->FetchSoon();
  Settle();
  EXPECT_EQ(client_.size(), failed);
}

}  // namespace
}  // namespace byrnie
