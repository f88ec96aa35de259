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
  void Issue(const std::string& serial, const std::string& replaces, int minute) {
    IssuanceRecord record;
    record.serial = serial;
    record.replaces = replaces;
    record.issued_at = clock_.WallNow() + absl::Minutes(minute);
    ASSERT_THAT(log_.Append(std::move(record)), IsOk());
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

}  // namespace
}  // namespace byrnie
