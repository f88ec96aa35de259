#include "proxy/flow_table.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kStart = absl::FromUnixSeconds(1000);

Flow Change(absl::string_view peer, uint64_t opened, uint64_t closed,
            absl::Duration at = absl::ZeroDuration()) {
  FlowKeyView key;
  key.peer = peer;
  key.destination = *SocketAddress::Parse("10.0.0.1:80");
  Flow flow;
  flow.key = std::make_shared<const FlowKey>(key);
  flow.opened = opened;
  flow.closed = closed;
  flow.first_seen = flow.last_seen = kStart + at;
  return flow;
}

TEST(FlowTableTest, AddsUpWhatWorkersTell) {
  FlowTable table(64 * 1024);
  table.Merge({Change("a", 2, 1)}, 0);
  table.Merge({Change("a", 1, 1, absl::Seconds(5)), Change("b", 1, 1)}, 3);
  const std::vector<Flow> taken = table.TakeChanged(10);
  ASSERT_THAT(taken, SizeIs(2));
  EXPECT_EQ(taken[1].opened, 3u);
  EXPECT_EQ(taken[1].closed, 2u);
  EXPECT_EQ(taken[1].first_seen, kStart);
  EXPECT_EQ(taken[1].last_seen, kStart + absl::Seconds(5));
  EXPECT_EQ(table.left_out(), 3u);
}

TEST(FlowTableTest, GivesEachChangeOnceAndAllWhenAsked) {
  FlowTable table(64 * 1024);
  table.Merge({Change("a", 1, 1), Change("b", 1, 1), Change("c", 1, 1)}, 0);
  EXPECT_THAT(table.TakeChanged(2), SizeIs(2));
  EXPECT_TRUE(table.changed());
  EXPECT_THAT(table.TakeChanged(2), SizeIs(1));
  EXPECT_FALSE(table.changed());
  EXPECT_THAT(table.TakeChanged(2), IsEmpty());
  table.MarkAllChanged();
  EXPECT_THAT(table.TakeChanged(10), SizeIs(3));
}

TEST(FlowTableTest, StaysWithinItsBytesAndKeepsWhatIsOpen) {
  constexpr size_t kMax = 192 * 1024;
  FlowTable table(kMax);
  table.Merge({Change("open", 1, 0)}, 0);
  for (int i = 0; i < 5000; ++i) {
    table.Merge({Change(absl::StrCat("spiffe://cluster.local/ns/demo/sa/client-", i), 1, 1)}, 0);
    ASSERT_LE(table.bytes(), kMax);
  }
  EXPECT_GT(table.size(), 250u);
  EXPECT_GT(table.left_out(), 0u);
  bool found = false;
  for (const Flow& flow : table.TakeChanged(10000)) found |= flow.key->view().peer == "open";
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace byrnie
