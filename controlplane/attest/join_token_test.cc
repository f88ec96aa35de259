#include "controlplane/attest/join_token.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class JoinTokensTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  MemoryStore store_;
  MetricRegistry metrics_;
  JoinTokens tokens_{"cluster.local", &store_, &clock_, &metrics_};
  const SpiffeId id_ = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/app");
};

TEST_F(JoinTokensTest, GivesTheIdentityItWasMadeForOnce) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->expires_at, clock_.WallNow() + absl::Minutes(1));
  auto claim = tokens_.Check(created->token.view(), {});
  ASSERT_THAT(claim, IsOk());
  EXPECT_EQ(claim->id, id_);
  EXPECT_THAT(tokens_.Redeem(*claim), IsOk());
  EXPECT_THAT(tokens_.Redeem(*claim), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("")));
  EXPECT_THAT(tokens_.Check(created->token.view(), {}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("used")));
}

TEST_F(JoinTokensTest, AClaimThatIsNotRedeemedLeavesTheTokenUsable) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  ASSERT_THAT(tokens_.Check(created->token.view(), {}), IsOk());
  EXPECT_THAT(tokens_.Check(created->token.view(), {}), IsOk());
}

TEST_F(JoinTokensTest, IsUsedUpTogetherWithTheNoteOfItOrNotAtAll) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  auto claim = tokens_.Check(created->token.view(), {});
  ASSERT_THAT(claim, IsOk());
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(tokens_.RedeemNoting(*claim, {"note", "1"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
  store_.FailWith(absl::OkStatus());
  EXPECT_FALSE(store_.Get("note")->has_value());
  auto noted = tokens_.RedeemNoting(*claim, {"note", "1"});
  ASSERT_THAT(noted, IsOk());
  EXPECT_TRUE(*noted);
  EXPECT_EQ((*store_.Get("note"))->value, "1");
  EXPECT_THAT(tokens_.RedeemNoting(*claim, {"late", "1"}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("")));
  EXPECT_FALSE(store_.Get("late")->has_value());
}

TEST_F(JoinTokensTest, RefusesAnExpiredToken) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  auto claim = tokens_.Check(created->token.view(), {});
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(tokens_.Redeem(*claim),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
}

TEST_F(JoinTokensTest, RefusesWhatIsNoToken) {
  for (const std::string& text : {std::string(), std::string("guess"), std::string(5000, 'a')}) {
    EXPECT_THAT(tokens_.Check(text, {}),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("")));
  }
}

TEST_F(JoinTokensTest, LeavesJwtsToOthers) {
  EXPECT_THAT(tokens_.Check("eyJ.eyJ.c2ln", {}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tokens_.Check("eyJ.eyJ", {}), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(JoinTokensTest, RefusesReservedAndForeignIdentitiesAndBadLifetimes) {
  EXPECT_THAT(tokens_.Create(*SpiffeId::Parse("spiffe://cluster.local/byrnie/controlplane"),
                             absl::Minutes(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("spiffe_id: ")));
  EXPECT_THAT(tokens_.Create(*SpiffeId::Parse("spiffe://other.org/x"), absl::Minutes(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("trust domain")));
  for (absl::Duration ttl :
       {absl::ZeroDuration(), -absl::Seconds(1), absl::Hours(24) + absl::Seconds(1)}) {
    EXPECT_THAT(tokens_.Create(id_, ttl),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ttl: a join token")));
  }
}

TEST_F(JoinTokensTest, AStoreThatIsDownIsUnavailableAndNotARefusal) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(tokens_.Check(created->token.view(), {}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(tokens_.Check(created->token.view(), {}), IsOk());
}

TEST_F(JoinTokensTest, OfAHundredParallelUsesExactlyOneSucceeds) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  std::atomic<int> redeemed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&] {
      auto claim = tokens_.Check(created->token.view(), {});
      if (claim.ok() && tokens_.Redeem(*claim).ok()) ++redeemed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(redeemed, 1);
}

TEST_F(JoinTokensTest, IsNamedByItsIdAndWhatItGivesToo) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ((*tokens_.List("", 10))[0].id, created->id);
  EXPECT_EQ(tokens_.Check(created->token.view(), {})->subject, created->id);
}

TEST_F(JoinTokensTest, ASecretThatIsGivenInThePlaceOfItsIdIsThatToken) {
  auto created = tokens_.Create(id_, absl::Minutes(1));
  EXPECT_EQ(JoinTokens::IdOf(created->token.view()), created->id);
  EXPECT_EQ(JoinTokens::IdOf(created->id), created->id);
  EXPECT_EQ(JoinTokens::IdOf(absl::AsciiStrToUpper(created->id)), created->id);
  EXPECT_EQ(JoinTokens::IdOf("").size(), created->id.size());
  EXPECT_THAT(tokens_.Revoke(JoinTokens::IdOf(created->token.view())), IsOk());
  EXPECT_THAT(tokens_.Check(created->token.view(), {}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("unknown")));
}

}  // namespace
}  // namespace byrnie
