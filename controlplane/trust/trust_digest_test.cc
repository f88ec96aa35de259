#include "controlplane/trust/trust_digest.h"

#include <string>
#include <utility>
#include <vector>

#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TrustDigest Digest(std::vector<std::string> roots, const std::string& signing_root) {
  return {std::move(roots), signing_root, signing_root, true};
}

TEST(TrustDigestTest, NamesRootsAndWhatSigns) {
  const absl::Time now = absl::FromUnixSeconds(1893456000);
  const AuthoritySnapshotPtr one = SelfSigned("td", now), other = SelfSigned("td", now);
  AuthoritySnapshot both = *one;
  both.roots.push_back(other->signer->root());
  both.roots.push_back(one->signer->root());
  const TrustDigest digest = DigestOf(both, true);
  EXPECT_THAT(digest.roots, SizeIs(2));
  EXPECT_TRUE(digest.roots[0] < digest.roots[1]);
  EXPECT_EQ(digest.signing_root, one->signer->root_id());
  EXPECT_EQ(digest.issuer, one->signer->root_id());
  EXPECT_TRUE(digest.plugged);
}

TEST(TrustDigestTest, ThoseWithTheSameRootsGoTogether) {
  const TrustDifference same = CompareTrust(Digest({"a", "b"}, "a"), Digest({"a", "b"}, "b"));
  EXPECT_FALSE(same.differs());
  EXPECT_TRUE(same.other_issuer);
  EXPECT_FALSE(CompareTrust(Digest({"a"}, "a"), Digest({"a"}, "a")).other_issuer);
}

TEST(TrustDigestTest, ARootThatOneHasAloneIsNamed) {
  const TrustDifference more = CompareTrust(Digest({"a", "b"}, "a"), Digest({"a", "c"}, "a"));
  EXPECT_FALSE(more.refuses());
  EXPECT_TRUE(more.differs());
  EXPECT_THAT(more.only_here, ElementsAre("b"));
  EXPECT_THAT(more.only_there, ElementsAre("c"));
  EXPECT_EQ(DifferenceText("east", more),
            "only here is the root b, not at east; only east has the root c");
}

TEST(TrustDigestTest, WhatAnothersAgentsRefuseIsNamed) {
  const TrustDifference apart = CompareTrust(Digest({"a"}, "a"), Digest({"b"}, "b"));
  EXPECT_EQ(apart.refused_here, "b");
  EXPECT_EQ(apart.refused_there, "a");
  EXPECT_EQ(DifferenceText("east", apart),
            "what east issues leads to the root b, which is none of those here: agents of this one "
            "refuse it; what is issued here leads to the root a, which east does not have: its "
            "agents refuse it");
  // In one direction alone: the other has moved on before all had its root.
  const TrustDifference early = CompareTrust(Digest({"a"}, "a"), Digest({"a", "b"}, "b"));
  EXPECT_EQ(early.refused_here, "b");
  EXPECT_EQ(early.refused_there, "");
  EXPECT_TRUE(early.refuses());
}

TEST(TrustDigestTest, OfRootsOfTheStoreAndOfThoseNotToldNothingIsSaid) {
  TrustDigest here = Digest({"a"}, "a"), there = Digest({"b"}, "b");
  here.plugged = there.plugged = false;
  EXPECT_FALSE(CompareTrust(here, there).differs());
  there.plugged = true;
  EXPECT_TRUE(CompareTrust(here, there).refuses());
  EXPECT_FALSE(CompareTrust(here, TrustDigest()).differs());
  EXPECT_FALSE(CompareTrust(TrustDigest(), there).differs());
}

TEST(TrustDigestTest, OneThatHasMoreThanItTellsMayHaveAny) {
  TrustDigest many = Digest({}, "r10");
  for (int i = 10; i < 10 + static_cast<int>(TrustDigest::kMaxRoots); ++i) {
    many.roots.push_back("r" + std::to_string(i));
  }
  const TrustDifference difference = CompareTrust(Digest({"s"}, "s"), many);
  EXPECT_EQ(difference.refused_there, "");
  EXPECT_EQ(difference.refused_here, "r10");
  EXPECT_THAT(difference.only_here, IsEmpty());
}

}  // namespace
}  // namespace byrnie
