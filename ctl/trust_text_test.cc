#include "ctl/trust_text.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// A rotation that was made step by step as far as "distributed".
byrnie::operator_::v1::Trust Distributed() {
  byrnie::operator_::v1::Trust trust;
  auto* const root = trust.add_roots();
  root->set_fingerprint("0123456789abcdef");
  root->set_signs(true);
  root->set_trusted(true);
  trust.set_step("distributed");
  trust.mutable_since()->set_seconds(1'800'000'000 - 2);
  trust.set_move("activate");
  trust.set_consequence("signs with the next root");
  return trust;
}

std::string FirstLine(const std::string& text) {
  return std::vector<std::string>(absl::StrSplit(text, '\n'))[0];
}

TEST(TrustTextTest, SaysWhereARotationStands) {
  const std::string text = TrustText(Distributed(), kNow);
  EXPECT_THAT(text, HasSubstr("rotation: distributed for 2 s\n"));
  EXPECT_THAT(text, HasSubstr("next: activate, which signs with the next root\n"));
  EXPECT_THAT(text, HasSubstr("nothing keeps it back"));
}

TEST(TrustTextTest, ADryRunBeginsWithThatNothingWasChanged) {
  auto trust = Distributed();
  // What the rotation would be, were it asked for.
  trust.set_automatic(true);
  const std::string text = DryRunText(trust, {}, /*in_steps=*/false, kNow);
  EXPECT_EQ(FirstLine(text),
            "dry run, nothing was changed; the next move would be activate, which signs with the "
            "next root");
  EXPECT_THAT(text, HasSubstr("nothing keeps it back"));
  EXPECT_THAT(text, HasSubstr("0123456789ab"));
  EXPECT_THAT(text, Not(HasSubstr("goes on by itself")));
  EXPECT_THAT(text, Not(HasSubstr("rotation: ")));
}

TEST(TrustTextTest, ADryRunSaysWhatWouldBecomeOfWhatIsKeptBack) {
  auto trust = Distributed();
  auto* const blocker = trust.add_blockers();
  blocker->set_agent("spiffe://cluster.local/ns/demo/sa/a");
  blocker->set_reason("has not acknowledged the bundle");
  std::string text = DryRunText(trust, {}, /*in_steps=*/false, kNow);
  EXPECT_THAT(text, HasSubstr("the rotation would wait with it\n"));
  EXPECT_THAT(text, HasSubstr("KEPT BACK BY"));
  EXPECT_THAT(text, Not(HasSubstr("nothing keeps it back")));
  text = DryRunText(trust, {}, /*in_steps=*/true, kNow);
  EXPECT_THAT(text, HasSubstr("it would be refused now\n"));
}

TEST(TrustTextTest, WhoWouldBeExcludedIsNotSaidToBe) {
  auto trust = Distributed();
  for (const char* agent : {"spiffe://cluster.local/a", "spiffe://cluster.local/b"}) {
    auto* const exclusion = trust.add_exclusions();
    exclusion->set_agent(agent);
    exclusion->set_move("activate");
    exclusion->set_by("alice");
    exclusion->set_left_out(3);
  }
  const std::string text = DryRunText(trust, {"spiffe://cluster.local/b"}, true, kNow);
  EXPECT_THAT(text, HasSubstr("activate does not wait for spiffe://cluster.local/a (3 left out), "
                              "said alice"));
  EXPECT_THAT(text,
              HasSubstr("activate would not wait for spiffe://cluster.local/b (3 left out)\n"));
}

TEST(TrustTextTest, SaysWhatIsRevokedByWhomAndWhy) {
  EXPECT_EQ(RevocationsText({}, kNow), "nothing is revoked\n");
  byrnie::operator_::v1::Revocation known, unknown;
  known.set_serial("0a1b");
  known.set_spiffe_id("spiffe://cluster.local/a");
  known.mutable_revoked_at()->set_seconds(1'800'000'000 - 60);
  known.set_revoked_by("alice");
  known.set_revoked_reason("laptop\nstolen");
  known.mutable_not_after()->set_seconds(1'800'000'000 + 3600);
  unknown.set_serial("0c00");
  const std::vector<std::string> lines =
      absl::StrSplit(RevocationsText({known, unknown}, kNow), '\n');
  ASSERT_EQ(lines.size(), 4u);
  for (const char* words : {"0a1b", "spiffe://cluster.local/a", "2027-01-15T07:59:00Z", "alice"}) {
    EXPECT_THAT(lines[1], HasSubstr(words));
  }
  EXPECT_THAT(lines[1], HasSubstr("stolen"));
  EXPECT_THAT(lines[2], HasSubstr("unknown"));
  EXPECT_THAT(lines[2], HasSubstr("nobody known"));
}

}  // namespace
}  // namespace byrnie
