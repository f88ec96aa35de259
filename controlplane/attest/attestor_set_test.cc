#include "controlplane/attest/attestor_set.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Takes what begins with its name and a colon; the rest says what becomes of it.
class FakeAttestor final : public Attestor {
 public:
  explicit FakeAttestor(std::string name) : name_(std::move(name)) {}

  absl::string_view name() const override { return name_; }
  absl::StatusOr<Claim> Check(absl::string_view credential, const Caller&) override {
    asked.emplace_back(credential);
    if (credential.substr(0, name_.size() + 1) != name_ + ":") return absl::NotFoundError("other");
    credential.remove_prefix(name_.size() + 1);
    if (credential == "down") return absl::UnavailableError("down");
    if (credential == "bad") return RefuseCredential(RefusalReason::kBadSignature, "bad");
    return Claim{*SpiffeId::Parse("spiffe://td/a"), name_, "", std::string(credential)};
  }
  absl::Status Redeem(const Claim& claim) override {
    if (claim.handle == "used") return RefuseCredential(RefusalReason::kReplayed, "used");
    redeemed.push_back(claim.handle);
    return absl::OkStatus();
  }

  std::vector<std::string> asked, redeemed;

 private:
  const std::string name_;
};

class AttestorSetTest : public ::testing::Test {
 protected:
  absl::StatusOr<AttestorSet::Proven> Check(absl::string_view credential) {
    return set_.Check(credential, {});
  }
  // The value of a series of the one metric.
  std::string Count(const std::string& attestor, const std::string& result) {
    const std::string text = metrics_.RenderPrometheusText();
    const std::string series = "byrnie_controlplane_attestations_total{attestor=\"" + attestor +
                               "\",result=\"" + result + "\"} ";
    const size_t at = text.find(series);
    if (at == std::string::npos) return "none";
    return text.substr(at + series.size(), text.find('\n', at) - at - series.size());
  }

  MetricRegistry metrics_;
  FakeAttestor first_{"first"}, second_{"second"};
  AttestorSet set_{{&first_, &second_}, &metrics_};
};

TEST_F(AttestorSetTest, AsksInOrderUntilOneKnowsTheKind) {
  auto proven = Check("second:x");
  ASSERT_THAT(proven, IsOk());
  EXPECT_EQ(proven->claim.proof, "second");
  EXPECT_THAT(first_.asked, ElementsAre("second:x"));
  ASSERT_THAT(Check("first:x"), IsOk());
  EXPECT_THAT(second_.asked, ElementsAre("second:x"));
}

TEST_F(AttestorSetTest, ARefusalIsFinal) {
  RefusalReason reason;
  const absl::Status refused = Check("first:bad").status();
  ASSERT_TRUE(IsRefusedCredential(refused, &reason));
  EXPECT_EQ(reason, RefusalReason::kBadSignature);
  EXPECT_THAT(second_.asked, IsEmpty());
  EXPECT_EQ(Count("first", "bad-signature"), "1");
  EXPECT_EQ(Count("second", "bad-signature"), "0");
}

TEST_F(AttestorSetTest, WhatNobodyKnowsIsRefused) {
  RefusalReason reason;
  const absl::Status refused = Check("third:x").status();
  ASSERT_TRUE(IsRefusedCredential(refused, &reason));
  EXPECT_EQ(reason, RefusalReason::kUnrecognized);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("other; other")));
  EXPECT_EQ(Count("none", "unrecognized"), "1");
}

TEST_F(AttestorSetTest, AnAttestorThatCannotTellIsNoRefusal) {
  const absl::Status down = Check("first:down").status();
  EXPECT_THAT(down, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(IsRefusedCredential(down, nullptr));
  EXPECT_THAT(second_.asked, IsEmpty());
  EXPECT_EQ(Count("first", "failed"), "1");
}

TEST_F(AttestorSetTest, RedeemsWithTheOneThatKnewItAndCountsItThen) {
  auto proven = Check("second:x");
  EXPECT_EQ(Count("second", "accepted"), "0");
  EXPECT_THAT(set_.RedeemNoting(*proven, {}), IsOkAndHolds(false));
  EXPECT_THAT(second_.redeemed, ElementsAre("x"));
  EXPECT_THAT(first_.redeemed, IsEmpty());
  EXPECT_EQ(Count("second", "accepted"), "1");
  EXPECT_TRUE(IsRefusedCredential(set_.RedeemNoting(*Check("second:used"), {}).status(), nullptr));
  EXPECT_EQ(Count("second", "replayed"), "1");
}

TEST(RefusalTest, EveryReasonHasANameOfItsOwn) {
  std::vector<absl::string_view> names;
  for (int i = 0; i < kRefusalReasons; ++i) {
    const absl::string_view name = RefusalReasonName(static_cast<RefusalReason>(i));
    EXPECT_THAT(names, ::testing::Not(::testing::Contains(name)));
    names.push_back(name);
  }
}

}  // namespace
}  // namespace byrnie
