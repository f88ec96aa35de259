#include "proxy/flow_shard.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class FlowShardTest : public ::testing::Test {
 protected:
  static FlowKeyView KeyOf(absl::string_view peer) {
    FlowKeyView key;
    key.direction = AccessRecord::Direction::kInbound;
    key.verdict = AccessRecord::Result::kAllowed;
    key.peer = peer;
    key.destination = *SocketAddress::Parse("10.0.0.1:80");
    return key;
  }

  ManualEventLoop loop_;
  std::vector<std::vector<Flow>> told_;
  uint64_t left_out_ = 0;
  const IpAddress source_ = *IpAddress::Parse("10.0.0.9");
  FlowShard shard_{&loop_, 4 * 1024, [this](std::vector<Flow> changes, uint64_t left_out) {
                     told_.push_back(std::move(changes));
                     left_out_ += left_out;
                   }};
};

TEST_F(FlowShardTest, TellsNothingWithoutAChange) {
  shard_.Flush();
  EXPECT_THAT(told_, IsEmpty());
  const FlowShard::Handle handle = shard_.Open(KeyOf("a"), source_, "allowed-by demo/a");
  shard_.Flush();
  shard_.Flush();
  EXPECT_THAT(told_, SizeIs(1));
  shard_.Close(handle);
}

TEST_F(FlowShardTest, TellsCountsSinceTheLastTime) {
  const absl::Time start = loop_.WallNow();
  const FlowShard::Handle handle = shard_.Open(KeyOf("a"), source_, "allowed-by demo/a");
  shard_.AddBytes(handle, 10, 20);
  shard_.Flush();
  ASSERT_THAT(told_, SizeIs(1));
  ASSERT_THAT(told_[0], SizeIs(1));
  const Flow& first = told_[0][0];
  EXPECT_EQ(first.opened, 1u);
  EXPECT_EQ(first.closed, 0u);
  EXPECT_EQ(first.bytes_sent, 10u);
  EXPECT_EQ(first.bytes_received, 20u);
  EXPECT_EQ(first.reason, "allowed-by demo/a");
  EXPECT_EQ(first.source, source_);
  EXPECT_EQ(first.first_seen, start);

  loop_.AdvanceTime(absl::Seconds(3));
  shard_.AddBytes(handle, 1, 0);
  shard_.Close(handle);
  shard_.Flush();
  const Flow& second = told_[1][0];
  EXPECT_EQ(second.opened, 0u);
  EXPECT_EQ(second.closed, 1u);
  EXPECT_EQ(second.bytes_sent, 1u);
  EXPECT_EQ(second.last_seen, start + absl::Seconds(3));
}

TEST_F(FlowShardTest, ARefusedConnectionIsOverAtOnce) {
  FlowKeyView key = KeyOf("a");
  key.verdict = AccessRecord::Result::kDenied;
  shard_.NoteRefused(key, source_, "no-allow-match");
  shard_.Flush();
  EXPECT_EQ(told_[0][0].opened, 1u);
  EXPECT_EQ(told_[0][0].closed, 1u);
  EXPECT_EQ(told_[0][0].reason, "no-allow-match");
}

TEST_F(FlowShardTest, WhatNeverHadADestinationIsNoEdge) {
  FlowKeyView key = KeyOf("a");
  key.destination = SocketAddress();
  shard_.NoteRefused(key, source_, "no-original-destination");
  shard_.Flush();
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(FlowShardTest, TellsEarlierWhenThereIsNoRoomAndLosesNothing) {
  for (int i = 0; i < 200; ++i) shard_.NoteRefused(KeyOf(absl::StrCat(i)), source_, "");
  shard_.Flush();
  size_t told = 0;
  for (const std::vector<Flow>& changes : told_) told += changes.size();
  EXPECT_EQ(told, 200u);
  EXPECT_GT(told_.size(), 1u);
  EXPECT_EQ(left_out_, 0u);
}

TEST_F(FlowShardTest, LeavesOutWhatIsOpenBeyondItsRoomAndSaysSo) {
  std::vector<FlowShard::Handle> handles;
  do {
    handles.push_back(shard_.Open(KeyOf(absl::StrCat(handles.size())), source_, ""));
  } while (handles.back() != nullptr);
  // Nothing happens to it.
  shard_.AddBytes(handles.back(), 1, 1);
  shard_.Close(handles.back());
  shard_.Flush();
  EXPECT_EQ(left_out_, 1u);
  for (size_t i = 0; i + 1 < handles.size(); ++i) shard_.Close(handles[i]);
  EXPECT_NE(shard_.Open(KeyOf("late"), source_, ""), nullptr);
}

}  // namespace
}  // namespace byrnie
