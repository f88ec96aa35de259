#include "certagent/flow_forwarder.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using flow::v1::ReportRequest;
using flow::v1::ReportResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FakeCollector final : public FlowCollector {
 public:
  void Report(const ReportRequest& request, Callback done) override {
    requests.push_back(request);
    waiting = std::move(done);
  }
  void Answer(absl::string_view table, absl::Duration pause = absl::ZeroDuration()) {
    ReportResponse response;
    response.set_table(std::string(table));
    if (pause > absl::ZeroDuration()) {
      response.mutable_next_report_after()->set_seconds(absl::ToInt64Seconds(pause));
    }
    std::exchange(waiting, nullptr)(response);
  }
  void Fail(absl::Status status) { std::exchange(waiting, nullptr)(std::move(status)); }

  std::vector<ReportRequest> requests;
  Callback waiting;
};

class FlowForwarderTest : public ::testing::Test {
 protected:
  absl::Status Forward(uint64_t instance = 7) {
    link::v1::FlowReport report;
    report.set_instance(instance);
    return forwarder_.Forward(report, [this](bool tell_all) { answers_.push_back(tell_all); });
  }

  ManualEventLoop loop_;
  Logger log_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  absl::BitGen random_;
  FakeCollector collector_;
  int lost_ = 0;
  FlowForwarder forwarder_{&loop_, &collector_, &log_, &metrics_, random_, [this] { ++lost_; }};
  std::vector<bool> answers_;
};

TEST_F(FlowForwarderTest, PassesOnAndAnswersWhenItIsDelivered) {
  EXPECT_THAT(Forward(), IsOk());
  ASSERT_THAT(collector_.requests, SizeIs(1));
  EXPECT_EQ(collector_.requests[0].instance(), 7u);
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(answers_, IsEmpty());
  collector_.Answer("t1");
  EXPECT_THAT(answers_, IsEmpty()) << "not inside a callback";
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_THAT(answers_, ElementsAre(false));
}

TEST_F(FlowForwarderTest, SaysWhatTimeItIsEachTimeItSends) {
  const auto sent_at = [this] {
    const auto& time = collector_.requests.back().sent_at();
    return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  };
  loop_.AdvanceTime(absl::Milliseconds(1500));
  ASSERT_THAT(Forward(), IsOk());
  EXPECT_EQ(sent_at(), loop_.WallNow());
  collector_.Fail(absl::UnavailableError("away"));
  loop_.AdvanceTime(absl::Minutes(1));
  ASSERT_THAT(collector_.requests, SizeIs(2));
  EXPECT_GT(sent_at(), loop_.WallNow() - absl::Minutes(1));
}

TEST_F(FlowForwarderTest, AsksForAllWhenAnotherTableHasTheEdges) {
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t1");
  loop_.AdvanceTime(absl::ZeroDuration());
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t2");
  loop_.AdvanceTime(absl::ZeroDuration());
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t2");
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_THAT(answers_, ElementsAre(false, true, false));
}

TEST_F(FlowForwarderTest, LetsTheNextReportWaitForAsLongAsTheControlPlaneSays) {
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t1", absl::Seconds(30));
  loop_.AdvanceTime(absl::Seconds(29));
  EXPECT_THAT(answers_, IsEmpty());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(answers_, SizeIs(1));
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t1", absl::Hours(100));
  loop_.AdvanceTime(absl::Minutes(10));
  EXPECT_THAT(answers_, SizeIs(2)) << "not for ever";
}

TEST_F(FlowForwarderTest, TriesAgainUntilItIsDelivered) {
  ASSERT_THAT(Forward(), IsOk());
  for (int i = 0; i < 20; ++i) {
    ASSERT_NE(collector_.waiting, nullptr) << i;
    collector_.Fail(absl::UnavailableError("away"));
    loop_.AdvanceTime(absl::Minutes(1));
  }
  collector_.Answer("t1");
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_THAT(answers_, ElementsAre(false));
}

TEST_F(FlowForwarderTest, DoesNotPesterAControlPlaneThatTakesNoReports) {
  ASSERT_THAT(Forward(), IsOk());
  collector_.Fail(absl::UnimplementedError("no such service"));
  loop_.AdvanceTime(absl::Minutes(9));
  EXPECT_THAT(collector_.requests, SizeIs(1));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(collector_.requests, SizeIs(2));
}

TEST_F(FlowForwarderTest, DropsAReportThatIsRefusedSoThatTheNextOnesArrive) {
  ASSERT_THAT(Forward(), IsOk());
  collector_.Fail(absl::InvalidArgumentError("edges[3].reason"));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(answers_, ElementsAre(false));
  EXPECT_THAT(collector_.requests, SizeIs(1));
  ASSERT_THAT(Forward(), IsOk());
  EXPECT_THAT(collector_.requests, SizeIs(2));
}

TEST_F(FlowForwarderTest, RefusesWhatNoProxySends) {
  EXPECT_THAT(Forward(0), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Forward(), IsOk());
  EXPECT_THAT(Forward(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FlowForwarderTest, SaysThatAProxyHasEndedBeforeTheNextOneReports) {
  ASSERT_THAT(Forward(7), IsOk());
  forwarder_.OnProxyGone();
  // Of a proxy that is gone.
  collector_.Answer("t1");
  ASSERT_THAT(collector_.requests, SizeIs(2));
  EXPECT_EQ(collector_.requests[1].instance(), 7u);
  EXPECT_TRUE(collector_.requests[1].ended());
  ASSERT_THAT(Forward(8), IsOk());
  EXPECT_THAT(collector_.requests, SizeIs(2)) << "one at a time";
  collector_.Fail(absl::UnavailableError("away"));
  loop_.AdvanceTime(absl::Minutes(1));
  ASSERT_THAT(collector_.requests, SizeIs(3)) << "until it is told";
  EXPECT_EQ(collector_.requests[2].instance(), 7u);
  collector_.Answer("t2");
  ASSERT_THAT(collector_.requests, SizeIs(4));
  EXPECT_EQ(collector_.requests[3].instance(), 8u);
  collector_.Answer("t2");
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_THAT(answers_, ElementsAre(false)) << "a new proxy has told all";
}

TEST_F(FlowForwarderTest, FindsOutThatAControlPlaneHasLostTheEdges) {
  forwarder_.OnControlPlane();
  EXPECT_THAT(collector_.requests, IsEmpty()) << "there is nothing to lose";
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t1");
  loop_.AdvanceTime(absl::ZeroDuration());
  forwarder_.OnControlPlane();
  ASSERT_THAT(collector_.requests, SizeIs(2));
  EXPECT_EQ(collector_.requests[1].instance(), 7u);
  EXPECT_EQ(collector_.requests[1].edges_size(), 0);
  collector_.Answer("t1");
  EXPECT_EQ(lost_, 0);
  forwarder_.OnControlPlane();
  collector_.Answer("t2");
  EXPECT_EQ(lost_, 1);
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t2");
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_THAT(answers_, ElementsAre(false, false));
}

TEST_F(FlowForwarderTest, ALossFoundWhileAnAnswerWaitsIsSaidWithIt) {
  ASSERT_THAT(Forward(), IsOk());
  collector_.Answer("t1", absl::Seconds(30));
  forwarder_.OnControlPlane();
  collector_.Answer("t2");
  loop_.AdvanceTime(absl::Seconds(30));
  EXPECT_THAT(answers_, ElementsAre(true));
  EXPECT_EQ(lost_, 0);
}

TEST_F(FlowForwarderTest, AProxyThatNeverReportedEndsUnseen) {
  forwarder_.OnProxyGone();
  EXPECT_THAT(collector_.requests, IsEmpty());
}

}  // namespace
}  // namespace byrnie
