#include "certagent/proof_order.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ProofOrderTest, ParsesOrdersAndSaysWhatIsWrongWithOthers) {
  EXPECT_THAT(*ParseProofs("svid,token"), ElementsAre(Proof::kSvid, Proof::kToken));
  EXPECT_THAT(*ParseProofs(" token , svid"), ElementsAre(Proof::kToken, Proof::kSvid));
  EXPECT_THAT(*ParseProofs("token"), ElementsAre(Proof::kToken));
  for (const auto& bad : {"", "svid", "svid,,token", "token,token", "password,token"}) {
    EXPECT_THAT(ParseProofs(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(ParseProofs("svid").status().message(), HasSubstr("add token"));
}

TEST(ProofOrderTest, TakesTheTokenWithoutACertificateAndThenWhatIsPreferred) {
  const ProofOrder order({Proof::kSvid, Proof::kToken});
  EXPECT_EQ(order.Choose(false, false), Proof::kToken);
  EXPECT_EQ(order.Choose(true, true), Proof::kSvid);
  EXPECT_EQ(ProofOrder({Proof::kToken, Proof::kSvid}).Choose(true, true), Proof::kToken);
}

TEST(ProofOrderTest, PutsACertificateThatIsNotValidLast) {
  ProofOrder order({Proof::kSvid, Proof::kToken});
  EXPECT_EQ(order.Choose(true, false), Proof::kToken);
  order.OnFailed(absl::UnauthenticatedError("used up"));
  EXPECT_EQ(order.Choose(true, false), Proof::kSvid);
}

TEST(ProofOrderTest, FallsOverOnARefusalAndBack) {
  ProofOrder order({Proof::kSvid, Proof::kToken});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(order.Choose(true, true), Proof::kSvid);
    order.OnFailed(absl::UnauthenticatedError("unknown certificate"));
    EXPECT_EQ(order.Choose(true, true), Proof::kToken);
    order.OnFailed(absl::NotFoundError("no token"));
  }
}

TEST(ProofOrderTest, KeepsWhatIsPreferredWhileTheAuthorityIsAway) {
  ProofOrder order({Proof::kSvid, Proof::kToken});
  for (int i = 0; i < 5; ++i) {
    order.OnFailed(absl::UnavailableError("away"));
    EXPECT_EQ(order.Choose(true, true), Proof::kSvid);
  }
}

TEST(ProofOrderTest, ReturnsToWhatIsPreferredAfterASuccess) {
  ProofOrder order({Proof::kSvid, Proof::kToken});
  order.OnFailed(absl::UnauthenticatedError("unknown certificate"));
  order.OnIssued();
  EXPECT_EQ(order.Choose(true, true), Proof::kSvid);
}

TEST(ProofOrderTest, NeverTakesAProofThatIsNotNamed) {
  ProofOrder order({Proof::kToken});
  order.OnFailed(absl::UnauthenticatedError("no"));
  EXPECT_EQ(order.Choose(true, true), Proof::kToken);
  EXPECT_EQ(order.Choose(true, false), Proof::kToken);
}

}  // namespace
}  // namespace byrnie
