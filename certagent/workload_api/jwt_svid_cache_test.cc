#include "certagent/workload_api/jwt_svid_cache.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/identity/jwt_svid.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kId[] = "spiffe://td/app";

// Answers in a later turn, with a token of its key, unless told otherwise.
class FakeIssuer final : public JwtIssuer {
 public:
  explicit FakeIssuer(EventLoop* loop) : loop_(loop) {}
  std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  absl::Status failure;
  std::string id = kId;
  std::string key_id = "k1";
  absl::Duration life = absl::Minutes(5);
  bool silent = false;
  int calls = 0;

  void Issue(const std::vector<std::string>& audience, Callback done) override {
    ++calls;
    absl::StatusOr<SecretBytes> answer = SecretBytes();
    if (!failure.ok()) {
      answer = failure;
    } else {
      std::string token = *SignJwtSvid(*SpiffeId::Parse(id), audience, loop_->WallNow(),
                                       loop_->WallNow() + life, key_id, *key);
      answer = SecretBytes::TakeFrom(&token);
    }
    if (silent) {
      kept_.emplace_back(std::move(answer), std::move(done));
      return;
    }
    loop_->Post([answer = std::move(answer), done = std::move(done)]() mutable {
      done(std::move(answer));
    });
  }
  void AnswerKept() {
    for (auto& kept : std::exchange(kept_, {})) kept.second(std::move(kept.first));
  }

 private:
  EventLoop* const loop_;  // Not owned.
  std::vector<std::pair<absl::StatusOr<SecretBytes>, Callback>> kept_;
};

class JwtSvidCacheTest : public ::testing::Test {
 protected:
  JwtSvidCacheTest() { Publish({"k1"}); }

  // Puts an identity in force whose bundle has the issuer's key under each of these ids.
  void Publish(const std::vector<std::string>& key_ids) {
    TrustBundleMap bundles;
    bundles["td"].roots = {ca_.root()};
    for (const std::string& id : key_ids) {
      bundles["td"].jwt_keys.push_back({id, *PublicKey::FromDer(issuer_.key->PublicKeyDer()),
                                        loop_.WallNow() + absl::Hours(24)});
    }
    cache_->OnIdentity(
        *IdentitySnapshot::Create(++generation_, ca_.IssueSvid("/app", absl::Hours(24)).chain,
                                  *TrustBundleSet::Create(std::move(bundles)), loop_.WallNow()));
  }

  absl::StatusOr<std::string> Fetch(std::vector<std::string> audience) {
    absl::optional<absl::StatusOr<std::string>> result;
    cache_->Fetch(std::move(audience), [&](absl::StatusOr<JwtSvidCache::TokenPtr> token) {
      if (token.ok()) {
        result = std::string((*token)->svid.view());
      } else {
        result = token.status();
      }
    });
    EXPECT_FALSE(result.has_value()) << "answered inside the call";
    loop_.RunUntilIdle();
    EXPECT_TRUE(result.has_value());
    return result.value_or(absl::StatusOr<std::string>(absl::InternalError("no answer")));
  }

  ManualEventLoop loop_;
  const TestCa ca_{"td", loop_.WallNow()};
  MetricRegistry registry_;
  WorkloadMetrics metrics_{&registry_};
  FakeIssuer issuer_{&loop_};
  uint64_t generation_ = 0;
  JwtSvidCache::Options options_;
  std::unique_ptr<JwtSvidCache> cache_ =
      std::make_unique<JwtSvidCache>(&loop_, &issuer_, &metrics_, options_);
};

TEST_F(JwtSvidCacheTest, GivesOneTokenUntilHalfOfItsLifeIsOver) {
  const std::string first = *Fetch({"db"});
  loop_.AdvanceTime(absl::Seconds(149));
  EXPECT_EQ(*Fetch({"db"}), first);
  EXPECT_EQ(issuer_.calls, 1);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_NE(*Fetch({"db"}), first);
  EXPECT_EQ(issuer_.calls, 2);
}

TEST_F(JwtSvidCacheTest, TheOrderOfAudiencesDoesNotMatter) {
  const std::string first = *Fetch({"db", "mail"});
  EXPECT_EQ(*Fetch({"mail", "db", "mail"}), first);
  EXPECT_NE(*Fetch({"db"}), first);
  EXPECT_EQ(issuer_.calls, 2);
}

TEST_F(JwtSvidCacheTest, GivesWhatItHasToItsEndWhenTheAuthorityIsAway) {
  const std::string first = *Fetch({"db"});
  issuer_.failure = absl::UnavailableError("away");
  loop_.AdvanceTime(absl::Seconds(299));
  EXPECT_EQ(*Fetch({"db"}), first);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(Fetch({"db"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("away")));
}

TEST_F(JwtSvidCacheTest, DoesNotAskAgainAtOnceAfterAFailure) {
  issuer_.failure = absl::UnavailableError("away");
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(Fetch({"db"}).ok());
  EXPECT_EQ(issuer_.calls, 1);
  issuer_.failure = absl::OkStatus();
  loop_.AdvanceTime(options_.retry_after);
  EXPECT_THAT(Fetch({"db"}), IsOk());
}

TEST_F(JwtSvidCacheTest, SettingTheClockBackKeepsNeitherAFailureNorAToken) {
  issuer_.failure = absl::UnavailableError("away");
  EXPECT_FALSE(Fetch({"db"}).ok());
  issuer_.failure = absl::OkStatus();
  const std::string first = *Fetch({"mail"});
  loop_.clock()->SetWall(loop_.WallNow() - absl::Minutes(1));
  loop_.AdvanceTime(options_.retry_after);
  EXPECT_THAT(Fetch({"db"}), IsOk());
  loop_.AdvanceTime(absl::Minutes(3));
  EXPECT_NE(*Fetch({"mail"}), first);
}

TEST_F(JwtSvidCacheTest, ManyCallersWaitForOneCall) {
  issuer_.silent = true;
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    cache_->Fetch({"db"}, [&](absl::StatusOr<JwtSvidCache::TokenPtr> token) {
      EXPECT_THAT(token, IsOk());
      ++answered;
    });
  }
  loop_.RunUntilIdle();
  EXPECT_EQ(issuer_.calls, 1);
  issuer_.AnswerKept();
  EXPECT_EQ(answered, 100);
}

TEST_F(JwtSvidCacheTest, ForgetsTheOneUnusedForLongest) {
  options_.max_tokens = 3;
  cache_ = std::make_unique<JwtSvidCache>(&loop_, &issuer_, &metrics_, options_);
  Publish({"k1"});
  for (const char* audience : {"a", "b", "c", "a", "d"}) EXPECT_THAT(Fetch({audience}), IsOk());
  EXPECT_EQ(issuer_.calls, 4);
  EXPECT_EQ(cache_->size(), 3u);
  EXPECT_THAT(Fetch({"a"}), IsOk());
  EXPECT_EQ(issuer_.calls, 4);
  EXPECT_THAT(Fetch({"b"}), IsOk());
  EXPECT_EQ(issuer_.calls, 5);
}

TEST_F(JwtSvidCacheTest, RefusesMoreCallsThanItMayMake) {
  options_.max_calls = 2;
  options_.max_waiting = 3;
  cache_ = std::make_unique<JwtSvidCache>(&loop_, &issuer_, &metrics_, options_);
  Publish({"k1"});
  issuer_.silent = true;
  for (const char* audience : {"a", "b", "b"}) {
    cache_->Fetch({audience}, [](absl::StatusOr<JwtSvidCache::TokenPtr>) {});
  }
  EXPECT_THAT(Fetch({"c"}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Fetch({"a"}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(cache_->size(), 2u);
  issuer_.AnswerKept();
  issuer_.silent = false;
  EXPECT_THAT(Fetch({"c"}), IsOk());
}

TEST_F(JwtSvidCacheTest, NeverGivesATokenThatDoesNotVerify) {
  issuer_.key_id = "unknown";
  EXPECT_THAT(Fetch({"a"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not usable")));
  issuer_.key_id = "k1";
  issuer_.id = "spiffe://td/somebody-else";
  EXPECT_THAT(Fetch({"b"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("identity")));
  issuer_.id = kId;
  issuer_.life = -absl::Seconds(1);
  EXPECT_THAT(Fetch({"c"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("expired")));
}

TEST_F(JwtSvidCacheTest, ForgetsTokensOfAKeyThatWasWithdrawn) {
  const std::string first = *Fetch({"db"});
  Publish({"k1", "k2"});
  EXPECT_EQ(*Fetch({"db"}), first);
  Publish({"k2"});
  issuer_.key_id = "k2";
  EXPECT_NE(*Fetch({"db"}), first);
}

TEST_F(JwtSvidCacheTest, RefusesWhatMakesNoTokenWithoutACall) {
  EXPECT_THAT(Fetch({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Fetch({""}), StatusIs(absl::StatusCode::kInvalidArgument));
  cache_ = std::make_unique<JwtSvidCache>(&loop_, &issuer_, &metrics_, options_);
  EXPECT_THAT(Fetch({"db"}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(issuer_.calls, 0);
}

TEST_F(JwtSvidCacheTest, MayBeDestroyedWithCallsAndAnswersUnderWay) {
  issuer_.silent = true;
  cache_->Fetch({"a"}, [](absl::StatusOr<JwtSvidCache::TokenPtr>) { FAIL(); });
  cache_->Fetch({""}, [](absl::StatusOr<JwtSvidCache::TokenPtr>) { FAIL(); });
  cache_ = nullptr;
  issuer_.AnswerKept();
  loop_.RunUntilIdle();
}

}  // namespace
}  // namespace byrnie
