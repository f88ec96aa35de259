#include "controlplane/audit/certificate_lineage.h"

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/audit/testing/memory_issuance_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CertificateLineageTest : public ::testing::Test {
 protected:
  void Issue(const std::string& serial, const std::string& replaces, int minute,
             const std::string& identity = "spiffe://cluster.local/a") {
    IssuanceRecord record;
    record.serial = serial;
    record.identity = identity;
    record.not_after = clock_.WallNow() + absl::Minutes(minute + 60);
    record.replaces = replaces;
    record.issued_at = clock_.WallNow() + absl::Minutes(minute);
    ASSERT_THAT(log_.Append(std::move(record)), IsOk());
  }
  void Damage(const std::string& serial, int minute, const std::string& replaces = "") {
    IssuanceRecord record;
    record.serial = serial;
    record.replaces = replaces;
    record.proof = kUnreadableProof;
    record.issued_at = record.not_after = clock_.WallNow() + absl::Minutes(minute);
    ASSERT_THAT(log_.Append(std::move(record)), IsOk());
  }
  // At the end of that minute.
  std::vector<std::string> Doubtful(const CertificateLineage& lineage, int minute) {
    std::vector<std::string> serials;
    for (const IssuanceRecord& record :
         lineage.Doubtful(clock_.WallNow() + absl::Minutes(minute), absl::Hours(1))) {
      serials.push_back(record.serial);
    }
    return serials;
  }
  static std::vector<std::string> Renewed(const CertificateLineage& lineage) {
    std::vector<std::string> serials;
    for (const IssuanceRecord& record : lineage.renewed()) serials.push_back(record.serial);
    return serials;
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  MemoryIssuanceStore issuances_;
  IssuanceLog log_{&issuances_, nullptr, {}, &clock_, &logger_, &metrics_};
};

TEST_F(CertificateLineageTest, IsAllThatWasIssuedOnItsProofAndOnTheirs) {
  Issue("a0", "", 0);
  Issue("b0", "", 1);
  Issue("a1", "a0", 2);
  Issue("b1", "b0", 3);
  Issue("a2", "a1", 4);
  Issue("a3", "a1", 5);
  CertificateLineage lineage("a0");
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(true));
  ASSERT_TRUE(lineage.itself().has_value());
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1", "a2", "a3"));
  // Not what came before it.
  CertificateLineage later("a1");
  EXPECT_THAT(later.Update(log_), IsOkAndHolds(true));
  EXPECT_THAT(Renewed(later), ElementsAre("a2", "a3"));
}

TEST_F(CertificateLineageTest, FindsWhatIsIssuedMeanwhileAndWhatAClockHasPutBefore) {
  Issue("a2", "a1", -3);
  Issue("a0", "", 0);
  Issue("a1", "a0", 1);
  CertificateLineage lineage("a0");
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(true));
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(true));
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1", "a2"));
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(false));
  Issue("a4", "a2", 9);
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(true));
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1", "a2", "a4"));
}

TEST_F(CertificateLineageTest, OfACertificateThatTheLogHasForgottenWhatCameOfItIsFound) {
  Issue("a1", "a0", 1);
  CertificateLineage lineage("a0");
  EXPECT_THAT(lineage.Update(log_), IsOkAndHolds(true));
  EXPECT_FALSE(lineage.itself().has_value());
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1"));
  CertificateLineage nobodys("ff");
  EXPECT_THAT(nobodys.Update(log_), IsOkAndHolds(false));
  EXPECT_THAT(Renewed(nobodys), IsEmpty());
}

TEST_F(CertificateLineageTest, WhatCannotBeReadAndMayHaveBeenRenewedFromItIsDoubtful) {
  Damage("aa", -11);  // By no clock that early.
  Issue("a0", "", 0);
  Damage("ac", 2);
  Damage("ab", 1);
  CertificateLineage lineage("a0");
  ASSERT_THAT(lineage.Update(log_), IsOk());
  EXPECT_THAT(Doubtful(lineage, 10), ElementsAre("ab", "ac"));
  EXPECT_THAT(Renewed(lineage), IsEmpty());
  EXPECT_THAT(Doubtful(lineage, 61), ElementsAre("ac"));
  EXPECT_THAT(Doubtful(lineage, 62), IsEmpty());
}

TEST_F(CertificateLineageTest, OneThatHasEndedIsDoubtfulWhileWhatWasRenewedFromItIsValid) {
  Issue("a0", "", 0);
  Damage("a1", 30);
  Issue("a2", "a1", 60);
  Issue("a3", "a2", 90);
  CertificateLineage lineage("a0");
  ASSERT_THAT(lineage.Update(log_), IsOk());
  EXPECT_THAT(Doubtful(lineage, 149), ElementsAre("a1"));
  EXPECT_THAT(Doubtful(lineage, 150), IsEmpty());
}

TEST_F(CertificateLineageTest, WhatSomebodyElseHasRenewedIsNotDoubtful) {
  Issue("a0", "", 0);
  Damage("b1", 1);
  Issue("b2", "b1", 2, "spiffe://cluster.local/b");
  CertificateLineage lineage("a0");
  ASSERT_THAT(lineage.Update(log_), IsOk());
  EXPECT_THAT(Doubtful(lineage, 10), IsEmpty());
  // Of a serial that nobody knows anything of it may be all the same.
  CertificateLineage nobodys("ff");
  ASSERT_THAT(nobodys.Update(log_), IsOk());
  EXPECT_THAT(Doubtful(nobodys, 10), ElementsAre("b1"));
}

TEST_F(CertificateLineageTest, WhereTheBytesStillSaySoItIsARenewalAndWhatCameOfItToo) {
  Issue("a0", "", 0);
  Damage("a1", 1, "a0");
  Issue("a2", "a1", 2);
  Damage("b1", 3, "b0");
  CertificateLineage lineage("a0");
  ASSERT_THAT(lineage.Update(log_), IsOk());
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1", "a2"));
  EXPECT_THAT(Doubtful(lineage, 10), ElementsAre("b1"));
}

TEST_F(CertificateLineageTest, WhatWasMendedMeanwhileIsNotDoubtful) {
  Issue("a0", "", 0);
  Damage("a1", 1);
  CertificateLineage lineage("a0");
  ASSERT_THAT(lineage.Update(log_), IsOk());
  issuances_.Clear();
  Issue("a0", "", 0);
  Issue("a1", "a0", 1);
  Issue("b1", "b0", 1);
  ASSERT_THAT(lineage.Update(log_), IsOk());
  EXPECT_THAT(Renewed(lineage), ElementsAre("a1"));
  EXPECT_THAT(Doubtful(lineage, 10), IsEmpty());
}

}  // namespace
}  // namespace byrnie
