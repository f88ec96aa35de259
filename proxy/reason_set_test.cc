#include "proxy/reason_set.h"

#include <set>
#include <string>

#include "common/policy/authorizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"

namespace byrnie {
namespace {

using ::testing::MatchesRegex;

TEST(ReasonSetTest, EveryReasonIsOneWordAndOnlyOnceThere) {
  std::set<std::string> seen;
  for (absl::string_view reason : AllReasons()) {
    EXPECT_THAT(std::string(reason), MatchesRegex("[a-z]+(-[a-z]+)*"));
    EXPECT_TRUE(seen.insert(std::string(reason)).second) << reason;
  }
}

TEST(ReasonSetTest, EveryReasonIsFoundAtItsPlace) {
  for (size_t i = 0; i < AllReasons().size(); ++i) {
    EXPECT_EQ(ReasonIndex(AllReasons()[i]), i);
    EXPECT_EQ(KnownReason(AllReasons()[i]), AllReasons()[i]);
  }
}

TEST(ReasonSetTest, ThePolicysKeyIsNoPartOfTheReason) {
  EXPECT_EQ(ReasonIndex("policy-deny demo/deny-x"), ReasonIndex(decision_reason::kPolicyDeny));
}

TEST(ReasonSetTest, WhatIsNotInTheSetIsInternal) {
  EXPECT_EQ(ReasonIndex("made-up"), ReasonIndex(access_reason::kInternal));
  EXPECT_EQ(ReasonIndex(""), ReasonIndex(access_reason::kInternal));
  // Of a peer's words nothing is guessed.
  EXPECT_EQ(KnownReason("made-up"), "");
  EXPECT_EQ(KnownReason("policy-deny demo/deny-x"), "");
}

}  // namespace
}  // namespace byrnie
