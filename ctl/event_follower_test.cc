#include "ctl/event_follower.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using Response = EventFollower::Response;

Response EventAt(const std::string& cursor) {
  Response response;
  response.mutable_event()->set_cursor(cursor);
  return response;
}

Response Missed(uint64_t count) {
  Response response;
  response.mutable_missed()->set_count(count);
  return response;
}

// A control plane whose streams bring what a test says, one after the other; the last is final.
class EventFollowerTest : public ::testing::Test {
 protected:
  struct Stream {
    std::vector<Response> brings;
    absl::Status ends;
  };
  absl::Status Run(bool patient = true) {
    size_t next = 0;
    EventFollower::Hooks hooks;
    hooks.watch = [&](const EventFollower::Request& request,
                      const std::function<bool(const Response&)>& on_response) {
      cursors_.push_back(request.cursor());
      if (next == streams_.size()) return absl::UnauthenticatedError("the test is over");
      const Stream& stream = streams_[next++];
      for (const Response& response : stream.brings) on_response(response);
      return stream.ends;
    };
    hooks.reaches = [this] { return reached_; };
    hooks.show = [this](const Response& response) {
      shown_.push_back(response.has_missed() ? absl::StrCat("missed ", response.missed().count())
                                             : response.event().cursor());
    };
    hooks.on_broken = [this](const absl::Status& why) { broken_.emplace_back(why.message()); };
    hooks.wait = [this](absl::Duration time) { waits_.push_back(time); };
    std::mt19937_64 random(7);
    Backoff::Options options;
    options.initial = absl::Seconds(1);
    options.jitter = 0;
    EventFollower::Request request;
    request.set_cursor("1-1");
    return EventFollower(std::move(hooks), Backoff(options, random)).Run(request, patient);
  }

  bool reached_ = true;
  std::vector<Stream> streams_;
  std::vector<std::string> cursors_, shown_, broken_;
  std::vector<absl::Duration> waits_;
  const absl::Status gone_ = absl::UnavailableError("gone");
};

TEST_F(EventFollowerTest, GoesOnFromTheLastEventItSaw) {
  streams_ = {{{EventAt("1-2"), EventAt("1-3")}, gone_}, {{}, gone_}, {{EventAt("1-4")}, gone_}};
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(cursors_, ElementsAre("1-1", "1-3", "1-3", "1-4"));
  EXPECT_THAT(shown_, ElementsAre("1-2", "1-3", "1-4"));
}

TEST_F(EventFollowerTest, SaysOnceThatItIsBrokenAndWaitsLonger) {
  streams_ = {{{EventAt("1-2")}, gone_},
              {{}, gone_},
              {{}, absl::OkStatus()},
              {{EventAt("1-3")}, absl::OkStatus()}};
  (void)Run();
  EXPECT_THAT(broken_, ElementsAre("gone", "the control plane ended the stream"));
  EXPECT_THAT(waits_,
              ElementsAre(absl::Seconds(1), absl::Seconds(2), absl::Seconds(4), absl::Seconds(1)));
}

TEST_F(EventFollowerTest, WhatIsLostIsToldOnce) {
  streams_ = {{{EventAt("1-2")}, gone_},
              {{Missed(0)}, gone_},
              {{Missed(0), EventAt("2-1")}, gone_},
              {{Missed(5), EventAt("2-9")}, gone_}};
  (void)Run();
  EXPECT_THAT(shown_, ElementsAre("1-2", "missed 0", "2-1", "missed 5", "2-9"));
}

TEST_F(EventFollowerTest, WhoIsNotLetInDoesNotTryAgain) {
  streams_ = {{{EventAt("1-2")}, absl::UnauthenticatedError("no longer valid")}};
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(cursors_, ElementsAre("1-1"));
  EXPECT_TRUE(waits_.empty());
}

TEST_F(EventFollowerTest, AStreamThatBreaksBeforeAnythingHappenedIsOpenedAgain) {
  streams_ = {{{}, gone_}, {{EventAt("1-2")}, gone_}};
  EXPECT_THAT(Run(/*patient=*/false), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(shown_, ElementsAre("1-2"));
}

TEST_F(EventFollowerTest, WhoWasNeverReachedIsGivenUpUnlessItIsToBePatient) {
  reached_ = false;
  streams_ = {{{}, gone_}, {{EventAt("1-2")}, gone_}};
  EXPECT_THAT(Run(/*patient=*/false), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(shown_.empty());
  cursors_.clear();
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(shown_, ElementsAre("1-2"));
}

}  // namespace
}  // namespace byrnie
