#include "controlplane/records/unreadable_records.h"

#include <string>
#include <vector>

#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = UnreadableRecords::Kind;

class UnreadableRecordsTest : public ::testing::Test {
 protected:
  static UnreadableRecord Record(const std::string& key) {
    return {key, "it is damaged", "nothing holds", "mend it"};
  }
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  UnreadableRecords records_{"byrnie/entries/", &logger_, &metrics_};
};

TEST_F(UnreadableRecordsTest, TellsOfEachUntilItIsMended) {
  EXPECT_THAT(records_.List(), IsEmpty());
  records_.Set(Kind::kRevocation, {Record("revoked/00")});
  records_.Set(Kind::kPolicy, {Record("policies/n/a"), Record("policies/n/b")});
  EXPECT_THAT(records_.List(), ElementsAre(Field(&UnreadableRecord::key, "policies/n/a"),
                                           Field(&UnreadableRecord::key, "policies/n/b"),
                                           Field(&UnreadableRecord::key, "revoked/00")));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_controlplane_unreadable_records{kind=\"policy\"} 2"));
  records_.Set(Kind::kPolicy, {Record("policies/n/b")});
  EXPECT_THAT(records_.List(), ElementsAre(Field(&UnreadableRecord::key, "policies/n/b"),
                                           Field(&UnreadableRecord::key, "revoked/00")));
  records_.Set(Kind::kPolicy, {});
  records_.Set(Kind::kRevocation, {});
  EXPECT_THAT(records_.List(), IsEmpty());
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_controlplane_unreadable_records{kind=\"policy\"} 0"));
}

TEST_F(UnreadableRecordsTest, SaysWhereARecordIsThatNoCommandReplaces) {
  EXPECT_THAT(records_.DeleteByHand("jwt_keys/0000000001"),
              HasSubstr("delete byrnie/entries/jwt_keys/0000000001 in the store"));
}

}  // namespace
}  // namespace byrnie
