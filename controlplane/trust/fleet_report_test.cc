#include "controlplane/trust/fleet_report.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

FleetReport Report() {
  FleetReport report;
  report.name = "one.example";
  report.instance = "0123";
  report.written_at = kNow;
  report.issues_without_store = absl::Minutes(10);
  report.trust_revision = 7;
  report.waiting = {
      {"spiffe://cluster.local/a", "10.0.0.1:4711", std::string(64, 'a'), kNow + absl::Hours(1)}};
  report.waiting_more = 3;
  report.acknowledged = {1, 0xffffffffffffffff};
  report.late_issuances = 2;
  report.trust = {{std::string(64, 'b'), std::string(64, 'c')},
                  std::string(64, 'c'),
                  std::string(64, 'd'),
                  true};
  report.settings = {{"attest", 7}, {"workload_ttl", 0xffffffffffffffff}};
  report.without_file = "cannot write --trust_bundle_out /b.pem: Is a directory";
  return report;
}

class FleetReportTest : public ::testing::Test {
 protected:
  MemoryStore store_;
  // All of which can be read.
  absl::StatusOr<std::vector<FleetReport>> List() {
    std::vector<UnreadableReport> unreadable;
    auto all = reports_.List(&unreadable);
    EXPECT_THAT(unreadable, IsEmpty());
    return all;
  }
  StoredFleetReports reports_{&store_};
};

TEST_F(FleetReportTest, KeepsAllOfAReport) {
  ASSERT_THAT(reports_.Write(Report()), IsOk());
  auto all = List();
  ASSERT_THAT(all, IsOk());
  ASSERT_THAT(*all, SizeIs(1));
  const FleetReport& read = all->front();
  EXPECT_EQ(read.name, "one.example");
  EXPECT_EQ(read.instance, "0123");
  EXPECT_EQ(read.written_at, kNow);
  EXPECT_TRUE(read.SaysTheSame(Report()));
}

TEST_F(FleetReportTest, SaysTheSameWheneverItWasWritten) {
  FleetReport later = Report();
  later.written_at += absl::Hours(1);
  EXPECT_TRUE(later.SaysTheSame(Report()));
  later.acknowledged = {1};
  EXPECT_FALSE(later.SaysTheSame(Report()));
  FleetReport other_root = Report();
  other_root.trust.roots.pop_back();
  EXPECT_FALSE(other_root.SaysTheSame(Report()));
  FleetReport other_setting = Report();
  other_setting.settings["attest"] = 8;
  EXPECT_FALSE(other_setting.SaysTheSame(Report()));
}

TEST_F(FleetReportTest, EachProcessHasItsOwn) {
  FleetReport other = Report();
  other.instance = "4567";
  ASSERT_THAT(reports_.Write(Report()), IsOk());
  ASSERT_THAT(reports_.Write(Report()), IsOk());
  ASSERT_THAT(reports_.Write(other), IsOk());
  EXPECT_THAT(*List(), SizeIs(2));
  ASSERT_THAT(reports_.Remove("one.example", "0123"), IsOk());
  ASSERT_THAT(*List(), SizeIs(1));
  EXPECT_EQ(List()->front().instance, "4567");
  ASSERT_THAT(reports_.Remove("one.example", "4567"), IsOk());
  EXPECT_THAT(*List(), IsEmpty());
}

TEST_F(FleetReportTest, OneThatCannotBeReadIsNamedAndKeepsNoOtherBack) {
  ASSERT_THAT(reports_.Write(Report()), IsOk());
  StoreTransaction damage;
  damage.Put("controlplanes/one/2", "\xff").Put("controlplanes/what", "\xff");
  ASSERT_THAT(store_.Commit(damage), IsOk());
  std::vector<UnreadableReport> unreadable;
  EXPECT_THAT(*reports_.List(&unreadable), SizeIs(1));
  ASSERT_THAT(unreadable, SizeIs(2));
  EXPECT_EQ(unreadable[0].key, "controlplanes/one/2");
  EXPECT_EQ(unreadable[0].name, "one");
  EXPECT_EQ(unreadable[0].instance, "2");
  EXPECT_EQ(unreadable[1].name, "what");
  EXPECT_EQ(unreadable[1].instance, "");
}

TEST(SerialPrefixTest, IsTheFirstEightBytes) {
  EXPECT_EQ(SerialPrefix("0123456789abcdef0123456789abcdef"), 0x0123456789abcdefu);
  EXPECT_EQ(SerialPrefix("12"), 0x12u);
  // What is no serial stands for none.
  EXPECT_EQ(SerialPrefix("xyz"), 0u);
}

}  // namespace
}  // namespace byrnie
