#include "proxy/flight_recorder.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::SizeIs;

absl::Time At(int seconds) { return absl::FromUnixSeconds(1700000000 + seconds); }

AccessRecord Record(int number) {
  AccessRecord record;
  record.connection = absl::StrCat("0-", number);
  record.start = At(number);
  record.duration = absl::Seconds(1);
  record.direction = AccessRecord::Direction::kInbound;
  record.protocol = AccessRecord::Protocol::kHbone;
  record.route = AccessRecord::Route::kLocal;
  record.result = AccessRecord::Result::kAllowed;
  record.reason = std::string(access_reason::kClosed);
  record.source = *SocketAddress::Parse("10.0.0.1:4000");
  record.original_destination = *SocketAddress::Parse("10.0.0.2:8080");
  record.peer_identity = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/client");
  record.bytes_sent = 7;
  return record;
}

TEST(FlightRecorderTest, GivesBackWhatItWasGiven) {
  AccessRecord record = Record(1);
  record.result = AccessRecord::Result::kDenied;
  record.reason = "policy-deny demo/deny-x";
  record.detail = "said so";
  record.service = "demo/server.demo.svc.cluster.local";
  record.destination = *SocketAddress::Parse("[fd77::1]:8080");
  record.peer_reason = access_reason::kOverloaded;
  StageTimes stages(absl::Seconds(5));
  stages.Complete(StageTimes::kPolicy, absl::Seconds(5) + absl::Milliseconds(3));
  record.stages = stages;
  FlightRecorder recorder;
  recorder.Add(record);
  const std::vector<FlightRecorder::Entry> found = recorder.Find({});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(ToJson(found[0].ToRecord()), ToJson(record));
}

TEST(FlightRecorderTest, TakesARecordOfWhichLittleIsKnown) {
  AccessRecord record = Record(1);
  record.peer_identity = absl::nullopt;
  FlightRecorder recorder;
  recorder.Add(record);
  const std::vector<FlightRecorder::Entry> found = recorder.Find({});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(ToJson(found[0].ToRecord()), ToJson(record));
}

TEST(FlightRecorderTest, KeepsTheLastThousandTheNewestFirst) {
  FlightRecorder recorder;
  for (int i = 0; i < 2500; ++i) recorder.Add(Record(i));
  const std::vector<FlightRecorder::Entry> found = recorder.Find({});
  ASSERT_THAT(found, SizeIs(1000));
  EXPECT_EQ(recorder.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(found[i].end(), At(2500 - i));
}

TEST(FlightRecorderTest, FindsByEachProperty) {
  FlightRecorder recorder;
  for (int i = 0; i < 10; ++i) recorder.Add(Record(i));
  AccessRecord other = Record(10);
  other.direction = AccessRecord::Direction::kOutbound;
  other.result = AccessRecord::Result::kFailed;
  other.reason = std::string(access_reason::kConnectTimeout);
  other.peer_identity = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/other");
  other.stages = StageTimes(absl::ZeroDuration());
  other.stages.Complete(StageTimes::kDial, absl::Seconds(10));
  recorder.Add(other);

  const auto only_other = [&recorder](const FlightRecorder::Filter& filter) {
    const std::vector<FlightRecorder::Entry> found = recorder.Find(filter);
    return found.size() == 1 && found[0].end() == At(11);
  };
  FlightRecorder::Filter filter;
  filter.direction = AccessRecord::Direction::kOutbound;
  EXPECT_TRUE(only_other(filter));
  filter = {};
  filter.result = AccessRecord::Result::kFailed;
  EXPECT_TRUE(only_other(filter));
  filter = {};
  filter.reason = "connect-timeout";
  EXPECT_TRUE(only_other(filter));
  filter = {};
  filter.peer = "spiffe://cluster.local/ns/demo/sa/other";
  EXPECT_TRUE(only_other(filter));
  filter = {};
  filter.slow = absl::Milliseconds(100);
  EXPECT_TRUE(only_other(filter));
  filter = {};
  filter.limit = 1;
  EXPECT_TRUE(only_other(filter));
  filter.reason = "drained";
  EXPECT_THAT(recorder.Find(filter), SizeIs(0));
}

TEST(FlightRecorderTest, HostileTextsFitAndStayApart) {
  AccessRecord record = Record(1);
  record.service = std::string(5000, 's');
  record.reason = "policy-deny " + std::string(5000, 'p');
  record.detail = std::string(5000, 'd');
  record.peer_identity = *SpiffeId::Parse("spiffe://cluster.local/ns/" + std::string(1500, 'n'));
  FlightRecorder recorder;
  recorder.Add(record);
  const AccessRecord kept = recorder.Find({})[0].ToRecord();
  EXPECT_EQ(kept.service, std::string(88, 's'));
  EXPECT_EQ(kept.reason.substr(0, 14), "policy-deny pp");
  EXPECT_EQ(kept.detail.find_first_not_of('d'), std::string::npos);
  EXPECT_EQ(kept.connection, "0-1");
}

TEST(FlightRecorderTest, AReasonOutsideTheSetIsInternal) {
  AccessRecord record = Record(1);
  record.reason = "made-up";
  FlightRecorder recorder;
  recorder.Add(record);
  EXPECT_EQ(recorder.Find({})[0].reason(), access_reason::kInternal);
}

TEST(FlightRecorderTest, WorkersAreMergedByTheEnd) {
  FlightRecorder first;
  FlightRecorder second;
  for (int i = 0; i < 10; ++i) (i % 2 == 0 ? first : second).Add(Record(i));
  const std::vector<FlightRecorder::Entry> merged =
      MergeNewest({first.Find({}), second.Find({})}, 7);
  ASSERT_THAT(merged, SizeIs(7));
  for (int i = 0; i < 7; ++i) EXPECT_EQ(merged[i].end(), At(10 - i));
}

TEST(FlightRecorderTest, AnEntryIsSmall) { EXPECT_LE(sizeof(FlightRecorder::Entry), 576u); }

}  // namespace
}  // namespace byrnie
