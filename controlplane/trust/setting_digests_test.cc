#include "controlplane/trust/setting_digests.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SettingDigestsTest, NamesTheFlagsThatDiffer) {
  const SettingDigests here = {{"attest", DigestOfSetting("jwt")},
                               {"key_types", DigestOfSetting("p256")},
                               {"workload_ttl", DigestOfSetting("1h")}};
  SettingDigests there = here;
  EXPECT_THAT(DifferentSettings(here, there), IsEmpty());
  there["workload_ttl"] = DigestOfSetting("2h");
  there["attest"] = DigestOfSetting("join_token");
  EXPECT_THAT(DifferentSettings(here, there), ElementsAre("attest", "workload_ttl"));
}

TEST(SettingDigestsTest, OfWhatAnotherReleaseDoesNotTellNothingIsSaid) {
  const SettingDigests here = {{"attest", 1}, {"workload_ttl", 2}};
  EXPECT_THAT(DifferentSettings(here, {}), IsEmpty());
  EXPECT_THAT(DifferentSettings({}, here), IsEmpty());
  EXPECT_THAT(DifferentSettings(here, {{"attest", 1}, {"later", 3}}), IsEmpty());
}

TEST(SettingDigestsTest, ADigestIsOfTheValue) {
  EXPECT_EQ(DigestOfSetting("a"), DigestOfSetting("a"));
  EXPECT_NE(DigestOfSetting("a"), DigestOfSetting("b"));
  // SHA-256 of nothing.
  EXPECT_EQ(DigestOfSetting(""), 0xe3b0c44298fc1c14u);
}

}  // namespace
}  // namespace byrnie
