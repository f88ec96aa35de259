#include "proxy/resolver.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Outcome = Resolver::Outcome;

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest()
      : resolver_(&loop_, Options(), [this](uint64_t id, const IpAddress&, bool refresh) {
          asked_.push_back(id);
          refreshes_ += refresh ? 1 : 0;
          return link_up_ ? absl::OkStatus() : absl::UnavailableError("no link");
        }) {}

  static Resolver::Options Options() {
    Resolver::Options options;
    options.max_pending = 2;
    return options;
  }
  void Ask(const char* address) {
    resolver_.Resolve(*IpAddress::Parse(address),
                      [this](Outcome outcome) { outcomes_.push_back(outcome); });
  }

  void Refresh(const char* address) {
    resolver_.Refresh(*IpAddress::Parse(address),
                      [this](Outcome outcome) { outcomes_.push_back(outcome); });
  }

  ManualEventLoop loop_;
  bool link_up_ = true;
  std::vector<uint64_t> asked_;
  int refreshes_ = 0;
  std::vector<Outcome> outcomes_;
  Resolver resolver_;
};

TEST_F(ResolverTest, AsksOncePerAddressHoweverManyWait) {
  Ask("10.0.0.1");
  Ask("10.0.0.1");
  ASSERT_THAT(asked_, SizeIs(1));
  EXPECT_THAT(outcomes_, IsEmpty());
  resolver_.OnAnswer(asked_[0], Outcome::kFound);
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kFound, Outcome::kFound));
  EXPECT_EQ(resolver_.pending(), 0u);
}

TEST_F(ResolverTest, GivesUpAtTheTimeoutAndIgnoresTheLateAnswer) {
  Ask("10.0.0.1");
  loop_.AdvanceTime(absl::Milliseconds(1999));
  EXPECT_THAT(outcomes_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kTimedOut));
  resolver_.OnAnswer(asked_[0], Outcome::kFound);
  EXPECT_THAT(outcomes_, SizeIs(1));
}

TEST_F(ResolverTest, BelievesANegativeAnswerForAWhileOnly) {
  Ask("10.0.0.1");
  resolver_.OnAnswer(asked_[0], Outcome::kNotInMesh);
  Ask("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(1));
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kNotInMesh, Outcome::kNotInMesh));
  loop_.AdvanceTime(absl::Seconds(5));
  Ask("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(ResolverTest, ForgetsNegativeAnswersWhenTheMeshChanges) {
  Ask("10.0.0.1");
  resolver_.OnAnswer(asked_[0], Outcome::kNotInMesh);
  resolver_.ForgetNegatives();
  Ask("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(ResolverTest, NeverCachesThatNobodyKnew) {
  Ask("10.0.0.1");
  resolver_.OnAnswer(asked_[0], Outcome::kUnavailable);
  Ask("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(ResolverTest, AsksAgainWhenTheLinkIsBack) {
  link_up_ = false;
  Ask("10.0.0.1");
  link_up_ = true;
  resolver_.OnLinkUp();
  ASSERT_THAT(asked_, SizeIs(2));
  EXPECT_EQ(asked_[0], asked_[1]);
  resolver_.OnAnswer(asked_[1], Outcome::kFound);
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kFound));
}

TEST_F(ResolverTest, ARefreshAsksPastWhatIsKnown) {
  Ask("10.0.0.1");
  Refresh("10.0.0.1");
  Refresh("10.0.0.1");
  ASSERT_THAT(asked_, SizeIs(2));
  EXPECT_EQ(refreshes_, 1);
  resolver_.OnAnswer(asked_[0], Outcome::kNotInMesh);
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kNotInMesh));
  resolver_.OnAnswer(asked_[1], Outcome::kFound);
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kNotInMesh, Outcome::kFound, Outcome::kFound));
}

TEST_F(ResolverTest, BelievesARefreshForAMoment) {
  Refresh("10.0.0.1");
  resolver_.OnAnswer(asked_[0], Outcome::kFound);
  Refresh("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(1));
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kFound, Outcome::kFound));
  loop_.AdvanceTime(absl::Seconds(1));
  Refresh("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(2));
}

TEST_F(ResolverTest, ARefreshThatNobodyAnsweredIsAskedAgain) {
  Refresh("10.0.0.1");
  resolver_.OnAnswer(asked_[0], Outcome::kUnavailable);
  Refresh("10.0.0.1");
  EXPECT_THAT(asked_, SizeIs(2));
  resolver_.OnLinkUp();
  EXPECT_EQ(refreshes_, 3);
}

TEST_F(ResolverTest, RefusesMoreAddressesThanItHasRoomFor) {
  Ask("10.0.0.1");
  Ask("10.0.0.2");
  Ask("10.0.0.3");
  EXPECT_THAT(outcomes_, ElementsAre(Outcome::kOverloaded));
  EXPECT_EQ(resolver_.pending(), 2u);
}

}  // namespace
}  // namespace byrnie
