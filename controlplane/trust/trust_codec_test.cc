#include "controlplane/trust/trust_codec.h"

#include <string>

#include "byrnie/store/v1/trust.pb.h"
#include "common/base/status_matchers.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/trust/rotation_steps.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

RootRecord Root(const std::string& certificate) {
  return RootRecord{Sha256FingerprintHex(certificate), certificate, "key of " + certificate};
}

TrustRecord Whole() {
  TrustRecord record;
  record.trust_domain = "cluster.local";
  record.current = Root("a");
  record.life_caps = {{absl::Milliseconds(1500), kNow}, {absl::Hours(1), absl::InfiniteFuture()}};
  record = AfterMove(record, RotationMove::kPrepare, kNow, Root("b"));
  record = AfterMove(record, RotationMove::kDistribute, kNow + absl::Seconds(1));
  record = AfterMove(record, RotationMove::kActivate, kNow + absl::Milliseconds(2500));
  record.rotation->automatic = true;
  record.rotation->exclusions = {{"spiffe://cluster.local/a", RotationStep::kDistributed, "me",
                                  kNow, /*rollback=*/true, 3,
                                  /*over=*/true}};
  return record;
}

TEST(TrustCodecTest, KeepsAllOfARecord) {
  const TrustRecord record = Whole();
  auto read = DecodeTrustRecord(EncodeTrustRecord(record));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(EncodeTrustRecord(*read), EncodeTrustRecord(record));
  EXPECT_EQ(read->current.id, record.current.id);
  EXPECT_EQ(read->rotation->step, RotationStep::kActive);
  EXPECT_EQ(read->rotation->activated_at, record.rotation->activated_at);
  EXPECT_EQ(read->rotation->exclusions[0].agent, "spiffe://cluster.local/a");
  EXPECT_TRUE(read->rotation->exclusions[0].rollback);
  EXPECT_EQ(read->rotation->exclusions[0].left_out, 3u);
  EXPECT_TRUE(read->rotation->exclusions[0].over);
  EXPECT_TRUE(read->rotation->automatic);
  EXPECT_EQ(read->life_caps[0].life, absl::Milliseconds(1500));
  EXPECT_EQ(read->life_caps[1].until, absl::InfiniteFuture());
  EXPECT_EQ(read->root_count, 2u);
  for (RotationMove move : {RotationMove::kRollback, RotationMove::kRollback}) {
    const TrustRecord back = AfterMove(*read, move, kNow + absl::Seconds(9));
    read = DecodeTrustRecord(EncodeTrustRecord(back));
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(read->rotation.has_value(), back.rotation.has_value());
  }
}

TEST(TrustCodecTest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_THAT(DecodeTrustRecord("\xff\xff"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("newer control plane")));
  EXPECT_THAT(DecodeTrustRecord(""),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("damaged")));
  byrnie::store::v1::TrustRecord record;
  ASSERT_TRUE(record.ParseFromString(EncodeTrustRecord(Whole())));
  for (int step : {0, 7}) {
    record.mutable_rotation()->set_step(static_cast<byrnie::store::v1::Rotation::Step>(step));
    EXPECT_THAT(DecodeTrustRecord(record.SerializeAsString()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rotation step")));
  }
}

TEST(TrustCodecTest, RefusesARotationWithoutItsTimesOrItsRoot) {
  for (int damage = 0; damage < 3; ++damage) {
    byrnie::store::v1::TrustRecord record;
    ASSERT_TRUE(record.ParseFromString(EncodeTrustRecord(Whole())));
    if (damage == 0) record.mutable_rotation()->clear_activated_at();
    if (damage == 1) record.mutable_rotation()->clear_next();
    if (damage == 2) *record.mutable_rotation()->mutable_next() = record.current();
    EXPECT_THAT(DecodeTrustRecord(record.SerializeAsString()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("damaged")));
  }
}

}  // namespace
}  // namespace byrnie
