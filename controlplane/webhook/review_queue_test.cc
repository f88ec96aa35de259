#include "controlplane/webhook/review_queue.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReviewQueueTest : public ::testing::Test {
 protected:
  std::unique_ptr<PendingHttpAnswer> Ask(const char* client, const std::string& what) {
    HttpRequest request;
    request.peer = SocketAddress::Parse(client).value();
    request.body = what;
    return queue_.Add(request,
                      [this](const HttpResponse& response) { answers_.push_back(response.body); });
  }
  void Wait(std::unique_ptr<PendingHttpAnswer> pending) { pending_.push_back(std::move(pending)); }

  ManualEventLoop loop_;
  std::vector<absl::Duration> came_;
  ReviewQueue queue_{&loop_, [this](const HttpRequest& request, absl::Duration came) {
                       came_.push_back(came);
                       return HttpResponse{200, "text/plain", request.body};
                     }};
  std::vector<std::string> answers_;
  std::vector<std::unique_ptr<PendingHttpAnswer>> pending_;
};

TEST_F(ReviewQueueTest, AnswersOneInATurn) {
  for (const char* const what : {"1", "2", "3"}) Wait(Ask("10.0.0.1:1", what));
  EXPECT_THAT(answers_, IsEmpty());
  loop_.RunOnce();
  EXPECT_THAT(answers_, ElementsAre("1"));
  loop_.RunOnce();
  EXPECT_THAT(answers_, ElementsAre("1", "2"));
  loop_.RunUntilIdle();
  EXPECT_THAT(answers_, ElementsAre("1", "2", "3"));
}

TEST_F(ReviewQueueTest, ClientAddressesTakeTurns) {
  for (int i = 0; i < 100; ++i) {
    const std::string port = std::to_string(1000 + i);
    Wait(Ask(("10.0.0.1:" + port).c_str(), "many"));
  }
  loop_.RunOnce();
  Wait(Ask("10.0.0.2:1", "a1"));
  Wait(Ask("10.0.0.2:2", "a2"));
  Wait(Ask("[fd00::3]:1", "b"));
  for (int i = 0; i < 6; ++i) loop_.RunOnce();
  EXPECT_THAT(answers_, ElementsAre("many", "many", "a1", "b", "many", "a2", "many"));
  loop_.RunUntilIdle();
  EXPECT_EQ(answers_.size(), 103u);
}

TEST_F(ReviewQueueTest, AHostsIpv6AddressesHaveOneTurn) {
  for (int i = 1; i <= 100; ++i) Wait(Ask(("[fd00::" + std::to_string(i) + "]:1").c_str(), "many"));
  Wait(Ask("[fd00:0:0:1::1]:1", "other"));
  for (int i = 0; i < 3; ++i) loop_.RunOnce();
  EXPECT_THAT(answers_, ElementsAre("many", "other", "many"));
}

TEST_F(ReviewQueueTest, WhoLeavesIsNotAnswered) {
  std::unique_ptr<PendingHttpAnswer> only = Ask("10.0.0.1:1", "only");
  std::unique_ptr<PendingHttpAnswer> first = Ask("10.0.0.2:1", "first");
  Wait(Ask("10.0.0.2:2", "second"));
  only.reset();
  first.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(answers_, ElementsAre("second"));
}

TEST_F(ReviewQueueTest, MayBeLeftAfterTheAnswer) {
  Wait(Ask("10.0.0.1:1", "1"));
  loop_.RunUntilIdle();
  pending_.clear();
  Wait(Ask("10.0.0.1:1", "2"));
  loop_.RunUntilIdle();
  EXPECT_THAT(answers_, ElementsAre("1", "2"));
}

TEST_F(ReviewQueueTest, TellsWhenARequestCame) {
  const absl::Duration now = loop_.Now();
  Wait(Ask("10.0.0.1:1", "1"));
  loop_.RunUntilIdle();
  EXPECT_THAT(came_, ElementsAre(now));
}

}  // namespace
}  // namespace byrnie
