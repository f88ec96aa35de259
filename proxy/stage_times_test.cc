#include "proxy/stage_times.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

absl::Duration At(int milliseconds) {
  return absl::Seconds(1000) + absl::Milliseconds(milliseconds);
}

TEST(StageTimesTest, EachStageTakesTheTimeSinceTheLast) {
  StageTimes times(At(0));
  times.Complete(StageTimes::kDestination, At(0));
  times.Complete(StageTimes::kPolicy, At(5));
  times.Complete(StageTimes::kDial, At(25));
  times.Note(StageTimes::kFirstSent, At(30));
  times.Note(StageTimes::kFirstSent, At(90));
  times.Note(StageTimes::kFirstReceived, At(40));
  EXPECT_EQ(times.Get(StageTimes::kDestination), absl::ZeroDuration());
  EXPECT_EQ(times.Get(StageTimes::kPolicy), absl::Milliseconds(5));
  EXPECT_EQ(times.Get(StageTimes::kDial), absl::Milliseconds(20));
  EXPECT_EQ(times.Get(StageTimes::kTls), absl::nullopt);
  EXPECT_EQ(times.Get(StageTimes::kFirstSent), absl::Milliseconds(30));
  EXPECT_EQ(times.Get(StageTimes::kFirstReceived), absl::Milliseconds(40));
  EXPECT_EQ(times.SetUp(), absl::Milliseconds(25));
}

TEST(StageTimesTest, AStageGoneThroughAgainGrows) {
  StageTimes times(At(0));
  times.Complete(StageTimes::kPolicy, At(1));
  times.Complete(StageTimes::kDial, At(11));
  times.Complete(StageTimes::kDial, At(41));
  EXPECT_EQ(times.Get(StageTimes::kDial), absl::Milliseconds(40));
}

TEST(StageTimesTest, WhatHappenedBeforeTookNoTime) {
  // A tunnel that was there already.
  StageTimes times(At(10));
  times.Complete(StageTimes::kPolicy, At(10));
  times.Complete(StageTimes::kTls, At(3));
  times.Complete(StageTimes::kTunnel, At(12));
  EXPECT_EQ(times.Get(StageTimes::kTls), absl::ZeroDuration());
  EXPECT_EQ(times.Get(StageTimes::kTunnel), absl::Milliseconds(2));
}

TEST(StageTimesTest, GivingUpFallsToTheStageUnderWay) {
  StageTimes deciding(At(0));
  deciding.Complete(StageTimes::kDestination, At(0));
  deciding.GiveUp(At(2000));
  EXPECT_EQ(deciding.Get(StageTimes::kPolicy), absl::Seconds(2));
  EXPECT_EQ(deciding.Get(StageTimes::kDial), absl::nullopt);

  StageTimes dialling(At(0));
  dialling.Complete(StageTimes::kDestination, At(0));
  dialling.Complete(StageTimes::kPolicy, At(1));
  dialling.GiveUp(At(11));
  EXPECT_EQ(dialling.Get(StageTimes::kDial), absl::Milliseconds(10));
}

TEST(StageTimesTest, HoursStayWhatFits) {
  StageTimes times(At(0));
  times.Complete(StageTimes::kDial, At(0) + absl::Hours(100));
  EXPECT_GT(times.Get(StageTimes::kDial), absl::Hours(1));
  times.Complete(StageTimes::kDial, At(0) + absl::Hours(200));
  EXPECT_GT(times.Get(StageTimes::kDial), absl::Hours(1));
}

TEST(StageTimesTest, IsSmall) { EXPECT_LE(sizeof(StageTimes), 64u); }

}  // namespace
}  // namespace byrnie
