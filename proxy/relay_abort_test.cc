// A relay that somebody else ends.
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/end_code.h"
#include "proxy/relay.h"
#include "proxy/testing/relay_fixture.h"

namespace byrnie {
namespace {

using ::testing::Optional;

using RelayAbortTest = RelayTest;

INSTANTIATE_TEST_SUITE_P(Quotas, RelayAbortTest, ::testing::Values(1, 13, 1 << 20));

TEST_P(RelayAbortTest, AbortsInEveryState) {
  for (int step = 0; step < 40; ++step) {
    Connect(GetParam());
    client_->SendAndShutdown(Pattern(20));
    if (step > 0) relay_->Start();
    for (int i = 1; i < step; ++i) loop_.RunOnce();
    relay_->Abort(absl::PermissionDeniedError("policy changed"));
    relay_->Abort(absl::InternalError("only the first counts"));
    EXPECT_FALSE(done_.has_value());
    Run();
    loop_.AdvanceTime(absl::Seconds(6));
    ASSERT_TRUE(done_.has_value()) << step;
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_EQ(done_->ended_by, RelayResult::Side::kProxy);
    EXPECT_TRUE(client_->error);
    EXPECT_TRUE(server_->error || server_->eof);
  }
}

TEST_P(RelayAbortTest, TellsBothSidesWithWhichNumberItEnds) {
  const auto expect_told = [this](uint32_t code) {
    Run();
    EXPECT_THAT(near_.reset_with, Optional(code));
    EXPECT_THAT(far_.reset_with, Optional(code));
  };
  Connect(GetParam());
  Start();
  relay_->Abort(absl::CancelledError("too old"), 7);
  expect_told(7);

  slow_tail_ = 1000;
  Connect(GetParam());
  Start();
  relay_->Abort(absl::CancelledError("too old"), 7);
  Run();
  relay_->Cut(absl::CancelledError("policy changed"), 1);
  expect_told(1);
  slow_tail_ = 0;

  // A reset of one side is one of the connection.
  Connect(GetParam());
  Start();
  client_->stream->Reset();
  expect_told(0);

  options_.idle_timeout = absl::Minutes(10);
  Connect(GetParam());
  Start();
  loop_.AdvanceTime(absl::Minutes(11));
  expect_told(EndCodeOf(access_reason::kIdleTimeout));

  options_.idle_timeout = absl::InfiniteDuration();
  Connect(GetParam());
  Start();
  client_->SendAndShutdown("x");
  Run();
  loop_.AdvanceTime(absl::Minutes(3));
  expect_told(EndCodeOf(access_reason::kHalfCloseTimeout));
}

TEST_P(RelayAbortTest, CutsOffAReaderThatHasStopped) {
  for (bool half_closed : {false, true}) {
    slow_tail_ = 1000;
    Connect(GetParam());
    Start();
    client_->Send(Pattern(20));
    if (half_closed) client_->stream->ShutdownWrite();
    Run();
    relay_->Cut(absl::PermissionDeniedError("policy changed"));
    EXPECT_FALSE(done_.has_value());
    loop_.AdvanceTime(absl::Milliseconds(1));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    Run();
    EXPECT_TRUE(client_->error);
    // Who has read an end looks no further.
    EXPECT_TRUE(half_closed ? server_->eof : server_->error);
  }
}

TEST_P(RelayAbortTest, CutsOffAnEndWhoseLastBytesWait) {
  for (bool aborted : {false, true}) {
    slow_tail_ = 1000;
    Connect(GetParam());
    Start();
    if (aborted) {
      relay_->Abort(absl::CancelledError("too old"));
    } else {
      client_->SendAndShutdown("a");
      server_->SendAndShutdown("b");
    }
    Run();
    loop_.AdvanceTime(absl::Seconds(4));
    EXPECT_FALSE(done_.has_value());
    relay_->Cut(absl::PermissionDeniedError("policy changed"));
    loop_.AdvanceTime(absl::Milliseconds(1));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    ExpectKeepalivesShortened(0);
  }
}

TEST_P(RelayAbortTest, SaysWhetherItBeganTheEnd) {
  Connect(GetParam());
  Start();
  EXPECT_TRUE(relay_->Abort(absl::CancelledError("first")));
  EXPECT_FALSE(relay_->Abort(absl::CancelledError("second")));
  slow_tail_ = 1000;
  Connect(GetParam());
  Start();
  client_->SendAndShutdown("all");
  server_->SendAndShutdown("all");
  Run();
  EXPECT_FALSE(relay_->Abort(absl::CancelledError("late"))) << "it ends by itself";
  tail_->MoveOn(0);
  Run();
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayAbortTest, IsDoneOnceAlsoWhenItLivesOn) {
  destroy_when_done_ = false;
  Connect(GetParam());
  client_->SendAndShutdown("a");
  server_->SendAndShutdown("b");
  Start();
  ASSERT_TRUE(done_.has_value());
  relay_->Abort(absl::InternalError("late"));
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayAbortTest, MayBeDestroyedAtAnyTime) {
  for (int step = 0; step < 60; ++step) {
    for (int kind = 0; kind < 3; ++kind) {
      Connect(GetParam());
      if (kind == 0) client_->SendAndShutdown(Pattern(50));
      if (kind == 1) client_->SendAndReset(Pattern(50));
      if (kind == 2) server_->Send(Pattern(50));
      relay_->Start();
      for (int i = 0; i < step; ++i) loop_.RunOnce();
      const bool was_done = done_.has_value();
      relay_.reset();
      Run();
      EXPECT_EQ(done_.has_value(), was_done);
    }
  }
}

}  // namespace
}  // namespace byrnie
