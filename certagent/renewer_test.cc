#include "certagent/renewer.h"

#include <string>

#include "certagent/testing/renewer_fixture.h"
#include "common/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RenewerTest : public RenewerFixture {};

TEST_F(RenewerTest, PublishesTheFirstCertificateWithItsKey) {
  StartAndIssue();
  EXPECT_EQ(published_[0].snapshot->id().text(), ca_.spiffe_id);
  EXPECT_EQ(published_[0].snapshot->generation(), 1u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  ASSERT_EQ(ca_.calls.size(), 1u);
  EXPECT_FALSE(ca_.calls[0].with_identity);
}

TEST_F(RenewerTest, RenewsAfterHalfOfTheLifeWithItsCertificateAndANewKey) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(31));
  EXPECT_EQ(ca_.calls.size(), 1u);
  loop_.AdvanceTime(absl::Minutes(1));
  ASSERT_EQ(ca_.calls.size(), 2u);
  EXPECT_TRUE(ca_.calls[1].with_identity);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].snapshot->generation(), 2u);
  EXPECT_NE(published_[0].snapshot->leaf().FingerprintHex(),
            published_[1].snapshot->leaf().FingerprintHex());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, RenewsInsideTheWindowOfTheAuthority) {
  ca_.window =
      RenewalWindow{loop_.WallNow() + absl::Minutes(33), loop_.WallNow() + absl::Minutes(34)};
  StartAndIssue();
  EXPECT_GE(renewer_->next_attempt(), ca_.window->start);
  EXPECT_LE(renewer_->next_attempt(), ca_.window->end);
}

TEST_F(RenewerTest, SaysWhyItFailsOnceAMinuteHoweverOftenItTries) {
  ca_.failure = absl::UnavailableError("down");
  renewer_->Start();
  loop_.AdvanceTime(absl::Minutes(5));
  EXPECT_GT(renewer_->failures_in_a_row(), 10);
  EXPECT_GE(LinesWith("certificate not renewed"), 3);
  EXPECT_LE(LinesWith("certificate not renewed"), 6);
  ca_.failure = absl::UnavailableError("down in another way");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_GE(LinesWith("in another way"), 1);
}

TEST_F(RenewerTest, KeepsTheCertificateWhenRenewalFails) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Minutes(50));
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  EXPECT_GT(renewer_->failures_in_a_row(), 10);
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_EQ(renewer_->failures_in_a_row(), 0);
  EXPECT_TRUE(renewer_->last_error().ok());
}

TEST_F(RenewerTest, BacksOffWithACap) {
  ca_.failure = absl::UnavailableError("down");
  renewer_->Start();
  loop_.AdvanceTime(absl::Minutes(10));
  ASSERT_GT(ca_.calls.size(), 100u);
  EXPECT_LT(ca_.calls.size(), 150u);
  for (size_t i = 1; i < ca_.calls.size(); ++i) {
    const absl::Duration gap = ca_.calls[i].at - ca_.calls[i - 1].at;
    EXPECT_GE(gap, absl::Seconds(1));
    EXPECT_LE(gap, absl::Seconds(6));
  }
}

TEST_F(RenewerTest, OutlivesAnOutageOfTwoLivesAndRecoversWithinSeconds) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  const absl::Time not_after = published_[0].snapshot->not_after();
  loop_.AdvanceTime(not_after - absl::Seconds(1) - loop_.WallNow());
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  EXPECT_EQ(*renewer_->outage_budget(), absl::Seconds(1));
  loop_.AdvanceTime(absl::Hours(1));
  // Closed from the end on: nothing is signed for.
  EXPECT_FALSE(renewer_->HasValidCertificate());
  EXPECT_FALSE(CanSignWithPublished());
  EXPECT_EQ(*renewer_->outage_budget(), absl::Seconds(1) - absl::Hours(1));
  for (size_t i = 1; i < ca_.calls.size(); ++i) {
    ASSERT_GE(ca_.calls[i].at - ca_.calls[i - 1].at, absl::Seconds(1)) << i;
  }
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, DoesNotAskSoonerThanTheAuthorityWants) {
  StartAndIssue();
  ca_.failure = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&ca_.failure, absl::Minutes(2));
  renewer_->RenewNow();
  loop_.AdvanceTime(absl::Minutes(2) - absl::Seconds(1));
  EXPECT_EQ(ca_.calls.size(), 2u);
  loop_.AdvanceTime(absl::Seconds(32));
  EXPECT_EQ(ca_.calls.size(), 3u);
}

TEST_F(RenewerTest, DoesNotLetTheAuthorityPutItOffUntilItsCertificateIsDead) {
  StartAndIssue();
  ca_.failure = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&ca_.failure, absl::Hours(1));
  loop_.AdvanceTime(absl::Minutes(59));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(50));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, ProvesItselfInTheOrderItIsTold) {
  proofs_ = {Proof::kToken, Proof::kSvid};
  Make(absl::nullopt);
  StartAndIssue();
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_FALSE(ca_.calls[1].with_identity);
  ca_.failure = absl::UnauthenticatedError("used up");
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_EQ(ca_.calls.size(), 4u);
  EXPECT_TRUE(ca_.calls[3].with_identity);
}

TEST_F(RenewerTest, MakesItsLastAttemptNotLaterThanTheExpiry) {
  ca_.lifetime = absl::Seconds(20);
  StartAndIssue();
  const absl::Time not_after = published_[0].snapshot->not_after();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Seconds(19));
  EXPECT_LE(renewer_->next_attempt(), not_after);
  EXPECT_GE(ca_.calls.size(), 5u);
}

TEST_F(RenewerTest, StaysUpAndFallsBackToTheTokenAfterTheExpiry) {
  ca_.lifetime = absl::Seconds(20);
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_FALSE(renewer_->HasValidCertificate());
  EXPECT_FALSE(CanSignWithPublished());
  ca_.failure = absl::OkStatus();
  ca_.refuse_identity = true;
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_FALSE(ca_.calls.back().with_identity);
}

TEST_F(RenewerTest, TriesTheTokenWhenTheAuthorityDoesNotKnowItsCertificate) {
  StartAndIssue();
  ca_.refuse_identity = true;
  ASSERT_TRUE(renewer_->RenewNow());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_EQ(ca_.calls.size(), 3u);
  EXPECT_TRUE(ca_.calls[1].with_identity);
  EXPECT_FALSE(ca_.calls[2].with_identity);
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, KeepsProvingItselfWithItsCertificateWhileTheAuthorityIsAway) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("away");
  loop_.AdvanceTime(absl::Minutes(45));
  ASSERT_GT(ca_.calls.size(), 10u);
  for (size_t i = 1; i < ca_.calls.size(); ++i) EXPECT_TRUE(ca_.calls[i].with_identity) << i;
}

TEST_F(RenewerTest, DoesNotPublishAChainThatDoesNotVerify) {
  StartAndIssue();
  ca_.sign_with_unknown_root = true;
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_FALSE(renewer_->last_error().ok());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, DoesNotPublishAnotherIdentityThanTheFirst) {
  StartAndIssue();
  ca_.spiffe_id = "spiffe://cluster.local/ns/demo/sa/other";
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("sa/other"));
}

TEST_F(RenewerTest, DoesNotPublishAnotherIdentityThanTheConfiguredOne) {
  Make(*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server"));
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_EQ(renewer_->snapshot(), nullptr);
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("sa/server"));
}

TEST_F(RenewerTest, DoesNotPublishACertificateForAnotherKey) {
  ca_.certify_another_key = true;
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("key"));
}

TEST_F(RenewerTest, DoesNotPublishAnExpiredCertificate) {
  ca_.lifetime = -absl::Seconds(5);
  ca_.back_dating = absl::Hours(1);
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_FALSE(renewer_->last_error().ok());
}

TEST_F(RenewerTest, HasOneAttemptUnderWayAtMost) {
  StartAndIssue();
  ca_.silent = true;
  EXPECT_TRUE(renewer_->RenewNow());
  EXPECT_FALSE(renewer_->RenewNow());
  loop_.AdvanceTime(absl::Minutes(40));
  EXPECT_EQ(ca_.calls.size(), 2u);
  ca_.AnswerKept();
  loop_.RunUntilIdle();
  EXPECT_FALSE(renewer_->issuing());
}

}  // namespace
}  // namespace byrnie
