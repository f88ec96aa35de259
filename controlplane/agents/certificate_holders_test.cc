#include "controlplane/agents/certificate_holders.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

class CertificateHoldersTest : public ::testing::Test {
 protected:
  void Issue(const std::string& serial, const std::string& replaces = "", absl::Time now = kNow) {
    holders_.OnIssued({serial, "spiffe://cluster.local/a", "root", now, now + absl::Hours(1)},
                      replaces);
  }
  void Show(const std::string& serial) {
    holders_.OnShown({serial, "spiffe://cluster.local/a", "root", kNow, kNow + absl::Hours(1)});
  }
  void Acknowledge(const std::string& serial) {
    Show(serial);
    holders_.OnAcknowledged(serial, 7);
  }
  std::vector<std::string> Serials(absl::Time now = kNow) {
    std::vector<std::string> serials;
    for (const auto& held : holders_.List(now)) serials.push_back(held.serial);
    std::sort(serials.begin(), serials.end());
    return serials;
  }

  CertificateHolders holders_;
};

TEST_F(CertificateHoldersTest, KeepsWhatWasIssuedUntilItEnds) {
  Issue("1");
  ASSERT_THAT(Serials(), ElementsAre("1"));
  EXPECT_EQ(holders_.List(kNow)[0].root, "root");
  EXPECT_THAT(Serials(kNow + absl::Hours(1)), IsEmpty());
}

TEST_F(CertificateHoldersTest, WhatWasNotHandedOutNobodyHolds) {
  Issue("1");
  Issue("2", "1");
  holders_.OnWithheld("2");
  EXPECT_THAT(Serials(), ElementsAre("1"));
  holders_.OnWithheld("unknown");
  EXPECT_THAT(Serials(), ElementsAre("1"));
}

TEST_F(CertificateHoldersTest, ARenewalReplacesOnlyWhatItsHolderHasSaidToHaveLeft) {
  Issue("1");
  Issue("2", "1");
  // The answer may have been lost.
  EXPECT_THAT(Serials(), ElementsAre("1", "2"));
  // Its proxy may stand still.
  Show("2");
  EXPECT_THAT(Serials(), ElementsAre("1", "2"));
  holders_.OnAcknowledged("2", 7);
  EXPECT_THAT(Serials(), ElementsAre("2"));
}

TEST_F(CertificateHoldersTest, AcknowledgingWithTheNewestForgetsAllBeforeIt) {
  Issue("1");
  Issue("2", "1");
  Issue("3", "2");
  Acknowledge("3");
  EXPECT_THAT(Serials(), ElementsAre("3"));
  Acknowledge("3");
  EXPECT_THAT(Serials(), ElementsAre("3"));
}

TEST_F(CertificateHoldersTest, SaysWhichOneItsHolderMayStillUse) {
  Issue("1");
  Issue("2", "1");
  Show("2");
  std::vector<std::string> replaced;
  for (const auto& held : holders_.List(kNow)) replaced.push_back(held.serial + held.replaces);
  EXPECT_THAT(replaced, UnorderedElementsAre("1", "21"));
}

TEST_F(CertificateHoldersTest, HoldersOfOneIdentityAreToldApart) {
  Issue("1");
  Issue("2");
  Issue("3", "1");
  Acknowledge("3");
  EXPECT_THAT(Serials(), ElementsAre("2", "3"));
}

TEST_F(CertificateHoldersTest, ForgetsWhatHasEnded) {
  Issue("1");
  Issue("2", "", kNow + absl::Hours(2));
  EXPECT_EQ(holders_.size(), 2u);
  holders_.ForgetEnded(kNow + absl::Hours(2));
  EXPECT_EQ(holders_.size(), 1u);
  EXPECT_THAT(Serials(), ElementsAre("2"));
}

TEST_F(CertificateHoldersTest, ARenewalOfWhatItDoesNotKnowIsAFirstCertificate) {
  Issue("2", "1");
  Show("2");
  EXPECT_THAT(Serials(), ElementsAre("2"));
}

TEST_F(CertificateHoldersTest, OneThatIsShownFirstIsOfAnUnknownTime) {
  Show("1");
  ASSERT_THAT(Serials(), ElementsAre("1"));
  EXPECT_EQ(holders_.List(kNow)[0].issued_at, absl::InfinitePast());
  Issue("2", "1");
  Acknowledge("2");
  EXPECT_THAT(Serials(), ElementsAre("2"));
}

TEST_F(CertificateHoldersTest, WhatIsReadOfLateReplacesAllTheSame) {
  Show("2");
  holders_.OnAcknowledged("2", 7);
  Issue("1");
  Issue("2", "1");
  EXPECT_THAT(Serials(), ElementsAre("2"));
  EXPECT_EQ(holders_.List(kNow)[0].issued_at, kNow);
  EXPECT_EQ(holders_.List(kNow)[0].acknowledged, 7u);
}

TEST_F(CertificateHoldersTest, WhatIsToldAgainIsForgottenAgain) {
  for (int again = 0; again < 2; ++again) {
    Issue("1");
    Issue("2", "1");
    Issue("3", "2");
    Acknowledge("3");
  }
  Issue("1");
  Issue("2", "1");
  Issue("3", "2");
  EXPECT_THAT(Serials(), ElementsAre("3"));
}

TEST_F(CertificateHoldersTest, KnowsTheNewestRootThatCameWithIt) {
  holders_.OnIssued(
      {"1", "spiffe://cluster.local/a", "root", kNow, kNow + absl::Hours(1), 0, "next"}, "");
  EXPECT_EQ(holders_.List(kNow)[0].newest_root, "next");
  Show("2");
  for (const auto& held : holders_.List(kNow)) {
    if (held.serial == "2") {
      EXPECT_EQ(held.newest_root, "");
    }
  }
}

TEST_F(CertificateHoldersTest, RemembersWhatWasAcknowledgedWithIt) {
  Issue("1");
  holders_.OnAcknowledged("1", 7);
  holders_.OnAcknowledged("1", 6);
  holders_.OnAcknowledged("unknown", 9);
  EXPECT_EQ(holders_.List(kNow)[0].acknowledged, 7u);
}

// Also when the proxy does not have the new one yet: it has the bundles.
TEST_F(CertificateHoldersTest, WhatAHolderHasAcknowledgedIsAcknowledgedAfterARenewal) {
  Issue("1");
  holders_.OnAcknowledged("1", 7);
  Issue("2", "1");
  Issue("3", "2");
  Issue("4");
  for (const auto& held : holders_.List(kNow)) {
    EXPECT_EQ(held.acknowledged, held.serial == "4" ? 0u : 7u) << held.serial;
  }
}

}  // namespace
}  // namespace byrnie
