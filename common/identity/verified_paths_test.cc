#include "common/identity/verified_paths.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

// The same bytes, as another connection presents them.
CertificateChain Again(const CertificateChain& chain) {
  CertificateChain copy;
  for (const CertificatePtr& each : chain) copy.push_back(*Certificate::FromDer(each->der()));
  return copy;
}

class VerifiedPathsTest : public ::testing::Test {
 protected:
  absl::StatusOr<VerifiedSvid> Verify(const CertificateChain& chain, absl::Time now = kNow) {
    return VerifySvid(chain, bundles_, now, &defect_, &paths_);
  }

  const TestCa ca_{"td", kNow};
  const TestCa below_ = ca_.MakeIntermediate(ca_.IntermediateSpec());
  TrustBundleSet bundles_ = ca_.Bundles();
  VerifiedPaths paths_;
  SvidDefect defect_ = SvidDefect::kNone;
};

TEST_F(VerifiedPathsTest, KnowsThePathOfAChainThatWasVerified) {
  CertificateChain chain = below_.IssueSvid("/a").chain;
  // One that is not on the path.
  chain.insert(chain.begin() + 1, ca_.IssueSvid("/other").chain.front());
  EXPECT_FALSE(paths_.Find(chain, *ca_.root(), kNow).has_value());
  ASSERT_OK_AND_ASSIGN(const VerifiedSvid first, Verify(chain));
  EXPECT_EQ(paths_.size(), 1u);
  const CertificateChain again = Again(chain);
  const auto path = paths_.Find(again, *ca_.root(), kNow);
  ASSERT_TRUE(path.has_value());
  EXPECT_THAT(*path, ElementsAre(again[0].get(), again[2].get(), ca_.root().get()));
  ASSERT_OK_AND_ASSIGN(const VerifiedSvid second, Verify(again));
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(second.not_after, first.not_after);
  EXPECT_EQ(paths_.size(), 1u);
}

TEST_F(VerifiedPathsTest, KnowsNoOtherCertificate) {
  const CertificateChain chain = below_.IssueSvid("/a").chain;
  ASSERT_THAT(Verify(chain), IsOk());
  std::string der = chain[0]->der();
  // The last byte is of the signature.
  der.back() = static_cast<char>(der.back() ^ 1);
  const CertificateChain forged = {*Certificate::FromDer(der), chain[1]};
  EXPECT_FALSE(paths_.Find(forged, *ca_.root(), kNow).has_value());
  EXPECT_THAT(Verify(forged), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_FALSE(paths_.Find({chain[0]}, *ca_.root(), kNow).has_value());
  EXPECT_THAT(Verify({chain[0]}), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(paths_.size(), 1u);
}

TEST_F(VerifiedPathsTest, RemembersNothingBad) {
  const TestCa other("td", kNow);
  EXPECT_THAT(Verify(other.IssueSvid("/a").chain), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(paths_.size(), 0u);
}

TEST_F(VerifiedPathsTest, LeadsToNoAnchorThatIsNotTrustedAnyMore) {
  const CertificateChain chain = below_.IssueSvid("/a").chain;
  ASSERT_THAT(Verify(chain), IsOk());
  const TestCa other("td", kNow);
  bundles_ = other.Bundles();
  EXPECT_THAT(Verify(chain), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(defect_, SvidDefect::kUnknownIssuer);
}

TEST_F(VerifiedPathsTest, IsRefusedOutsideOfItsTime) {
  const CertificateChain chain = below_.IssueSvid("/a", absl::Hours(1)).chain;
  ASSERT_THAT(Verify(chain), IsOk());
  const absl::Time begin = chain[0]->not_before();
  const absl::Time end = chain[0]->not_after();
  EXPECT_THAT(Verify(chain, end),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  EXPECT_EQ(defect_, SvidDefect::kExpired);
  EXPECT_THAT(Verify(chain, begin - absl::Seconds(1)),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(defect_, SvidDefect::kNotYetValid);
  // As without it, to the second.
  for (const absl::Time at : {begin, begin + absl::Seconds(1), end - absl::Seconds(1), end}) {
    EXPECT_EQ(Verify(chain, at).ok(), VerifySvid(chain, bundles_, at).ok()) << at;
  }
}

TEST_F(VerifiedPathsTest, IsRefusedWhenItIsRevoked) {
  const CertificateChain chain = ca_.IssueSvid("/a").chain;
  ASSERT_THAT(Verify(chain), IsOk());
  bundles_ = *TrustBundleSet::Create(
      {{"td", {{ca_.root()}, {MakeCrl(*ca_.root(), ca_.key(), kNow, {chain[0]})}}}});
  EXPECT_THAT(Verify(chain), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(defect_, SvidDefect::kRevoked);
}

TEST_F(VerifiedPathsTest, IsBounded) {
  // No signature is asked for here: these need not be good ones.
  const Certificate& anchor = *ca_.root();
  const CertificatePtr leaf = ca_.IssueSvid("/a").chain[0];
  CertificateChain chain = {leaf};
  for (int i = 0; i < 1024; ++i) {
    chain.push_back(leaf);
    if (chain.size() > 40) chain.assign(1, below_.IssueSvid(absl::StrCat("/", i)).chain[0]);
    paths_.Add(chain, anchor, {chain[0].get(), &anchor});
  }
  EXPECT_EQ(paths_.size(), 1024u);
  paths_.Add({leaf}, anchor, {leaf.get(), &anchor});
  EXPECT_EQ(paths_.size(), 1u);
}

}  // namespace
}  // namespace byrnie
