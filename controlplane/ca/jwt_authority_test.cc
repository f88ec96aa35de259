#include "controlplane/ca/jwt_authority.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/identity/jwt_svid.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class JwtAuthorityTest : public ::testing::Test {
 protected:
  JwtAuthority::Options MakeOptions() {
    JwtAuthority::Options options;
    options.unreadable = &unreadable_;
    return options;
  }
  std::unique_ptr<JwtAuthority> Load() {
    auto authority = JwtAuthority::LoadOrCreate(&store_, "td", &clock_, options_);
    EXPECT_THAT(authority, IsOk());
    return *std::move(authority);
  }
  // What a verifier says that has the keys as they are now.
  absl::Status Verify(const std::string& token, const std::vector<JwtKey>& keys) {
    TrustBundleMap bundles;
    bundles["td"].roots = {TestCa("td", clock_.WallNow()).root()};
    bundles["td"].jwt_keys = keys;
    return VerifyJwtSvid(token, "db", *TrustBundleSet::Create(std::move(bundles)), clock_.WallNow())
        .status();
  }
  absl::StatusOr<IssuedJwt> Issue(const JwtAuthority& authority,
                                  absl::optional<absl::Duration> ttl = absl::nullopt) {
    return authority.Issue(*SpiffeId::Parse("spiffe://td/app"), {"db"}, ttl);
  }

  FakeClock clock_;
  MemoryStore store_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  UnreadableRecords unreadable_{"", &logger_, &metrics_};
  JwtAuthority::Options options_ = MakeOptions();
};

TEST_F(JwtAuthorityTest, IssuesTokensThatItsKeysVerify) {
  const auto authority = Load();
  absl::StatusOr<IssuedJwt> issued = Issue(*authority);
  ASSERT_THAT(issued, IsOk());
  EXPECT_THAT(Verify(issued->token, authority->PublicKeys()), IsOk());
  EXPECT_EQ(issued->expires_at - issued->issued_at, absl::Minutes(5));
}

TEST_F(JwtAuthorityTest, CapsTheLifeAndRefusesNone) {
  const auto authority = Load();
  EXPECT_LE(Issue(*authority, absl::Hours(1))->expires_at, clock_.WallNow() + absl::Minutes(5));
  EXPECT_LE(Issue(*authority, absl::Seconds(10))->expires_at, clock_.WallNow() + absl::Seconds(10));
  EXPECT_THAT(Issue(*authority, absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(authority->Issue(*SpiffeId::Parse("spiffe://other/app"), {"db"}, absl::nullopt),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(authority->Issue(*SpiffeId::Parse("spiffe://td/app"), {}, absl::nullopt),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(JwtAuthorityTest, KeepsItsKeysOverARestart) {
  const auto before = Load();
  const auto after = Load();
  EXPECT_EQ(before->PublicKeys(), after->PublicKeys());
  EXPECT_THAT(Verify(Issue(*before)->token, after->PublicKeys()), IsOk());
}

TEST_F(JwtAuthorityTest, PublishesAKeyBeforeItSignsAndAfter) {
  const auto authority = Load();
  const std::vector<JwtKey> first = authority->PublicKeys();
  EXPECT_THAT(first, SizeIs(1));
  std::vector<JwtKey> known = first;
  std::string last_of_first;
  int changes = 0;
  // Every verifier has what was published ten minutes ago, no token fails with it.
  std::vector<std::pair<absl::Time, std::vector<JwtKey>>> published = {{clock_.WallNow(), first}};
  for (int minute = 0; minute < 5 * 24 * 60; ++minute) {
    clock_.Advance(absl::Minutes(1));
    absl::StatusOr<bool> changed = authority->RotateIfDue();
    ASSERT_THAT(changed, IsOk());
    changes += *changed;
    published.emplace_back(clock_.WallNow(), authority->PublicKeys());
    const size_t behind = published.size() > 10 ? published.size() - 10 : 0;
    ASSERT_THAT(Verify(Issue(*authority)->token, published[behind].second), IsOk()) << minute;
    ASSERT_LE(authority->PublicKeys().size(), 4u);
  }
  EXPECT_GE(changes, 8);
}

TEST_F(JwtAuthorityTest, ATokenOutlivesTheChangeOfKeys) {
  const auto authority = Load();
  // To the last minute in which the first key signs.
  clock_.Advance(absl::Hours(24) - absl::Minutes(10));
  ASSERT_THAT(authority->RotateIfDue(), IsOk());
  clock_.Advance(absl::Minutes(9));
  const std::string token = Issue(*authority)->token;
  clock_.Advance(absl::Minutes(4));
  ASSERT_THAT(authority->RotateIfDue(), IsOk());
  EXPECT_THAT(Verify(token, authority->PublicKeys()), IsOk());
}

TEST_F(JwtAuthorityTest, TwoThatShareAStoreShareTheKeys) {
  const auto one = Load();
  const auto other = Load();
  for (int hour = 0; hour < 24 * 10; ++hour) {
    clock_.Advance(absl::Hours(1));
    ASSERT_THAT(one->RotateIfDue(), IsOk());
    ASSERT_THAT(other->RotateIfDue(), IsOk());
    EXPECT_EQ(one->PublicKeys().size(), other->PublicKeys().size());
    EXPECT_THAT(Verify(Issue(*one)->token, other->PublicKeys()), IsOk());
    EXPECT_THAT(Verify(Issue(*other)->token, one->PublicKeys()), IsOk());
  }
  EXPECT_LE(one->PublicKeys().size(), 4u);
}

TEST_F(JwtAuthorityTest, OneThatMayNotMakeKeysTakesInThoseOfTheOther) {
  const auto maker = Load();
  const auto taker = Load();
  for (int hour = 0; hour < 30; ++hour) {
    clock_.Advance(absl::Hours(1));
    EXPECT_THAT(taker->RotateIfDue(/*may_make=*/false), IsOkAndHolds(false));
  }
  ASSERT_THAT(maker->RotateIfDue(), IsOkAndHolds(true));
  EXPECT_THAT(taker->Reload(), IsOkAndHolds(true));
  EXPECT_EQ(maker->PublicKeys(), taker->PublicKeys());
  EXPECT_THAT(taker->Reload(), IsOkAndHolds(false));
}

TEST_F(JwtAuthorityTest, AStoreThatCannotBeWrittenCostsNothingForAWholePeriod) {
  const auto authority = Load();
  store_.FailWith(absl::UnavailableError("disk full"));
  for (int hour = 0; hour < 47; ++hour) {
    clock_.Advance(absl::Hours(1));
    authority->RotateIfDue().status().IgnoreError();
    EXPECT_THAT(Verify(Issue(*authority)->token, authority->PublicKeys()), IsOk()) << hour;
  }
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(Issue(*authority), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(authority->RotateIfDue(), IsOk());
  EXPECT_THAT(Issue(*authority), IsOk());
}

TEST_F(JwtAuthorityTest, MakesAKeyWhenAllHaveEnded) {
  Load();
  clock_.Advance(absl::Hours(24 * 30));
  const auto authority = Load();
  EXPECT_THAT(authority->PublicKeys(), SizeIs(1));
  EXPECT_THAT(Verify(Issue(*authority)->token, authority->PublicKeys()), IsOk());
}

TEST_F(JwtAuthorityTest, ARecordThatCannotBeReadKeepsTheKeyThatIsKnown) {
  const auto authority = Load();
  const absl::StatusOr<IssuedJwt> issued = Issue(*authority);
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("jwt_keys/0000000001", "?")), IsOk());
  EXPECT_THAT(authority->Reload(), IsOkAndHolds(false));
  EXPECT_THAT(Verify(issued->token, authority->PublicKeys()), IsOk());
  EXPECT_THAT(Issue(*authority), IsOk());
  ASSERT_THAT(unreadable_.List(), SizeIs(1));
  EXPECT_EQ(unreadable_.List()[0].key, "jwt_keys/0000000001");
  EXPECT_THAT(unreadable_.List()[0].effect, HasSubstr("stays what it was"));
  // One that has just started does not know it, and signs with another.
  const auto other = Load();
  EXPECT_THAT(Issue(*other), IsOk());
  EXPECT_FALSE(Verify(issued->token, other->PublicKeys()).ok());
  EXPECT_THAT(unreadable_.List()[0].effect, HasSubstr("are refused"));
  EXPECT_EQ((*store_.Get("jwt_keys/0000000001"))->value, "?");
  // All have that other one.
  EXPECT_THAT(authority->Reload(), IsOkAndHolds(true));
  EXPECT_THAT(authority->PublicKeys(), SizeIs(2));
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete("jwt_keys/0000000001")), IsOk());
  EXPECT_THAT(authority->Reload(), IsOkAndHolds(true));
  EXPECT_THAT(authority->PublicKeys(), SizeIs(1));
  EXPECT_THAT(unreadable_.List(), SizeIs(0));
}

}  // namespace
}  // namespace byrnie
