// How often a relay asks its streams: of sockets, each time is a system call.
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/counted_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/relay.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

TEST(RelayCallsTest, AsksADirectionOnlyWhenItHasBeenToldOfIt) {
  ManualEventLoop loop;
  MemoryStreamPair near(&loop);
  MemoryStreamPair far(&loop);
  StreamCalls downstream;
  StreamCalls upstream;
  std::vector<uint8_t> scratch(64 * 1024);
  const Relay::Options options;
  Relay relay(
      &loop, absl::MakeSpan(scratch), std::make_unique<CountedStream>(near.TakeB(), &downstream),
      std::make_unique<CountedStream>(far.TakeA(), &upstream), &options, [](const RelayResult&) {});
  const std::unique_ptr<ByteStream> client = near.TakeA();
  const std::unique_ptr<ByteStream> server = far.TakeB();
  relay.Start();
  loop.RunUntilIdle();
  downstream = upstream = StreamCalls();

  const uint8_t question[] = {1, 2, 3};
  EXPECT_EQ(client->Write(question).bytes, 3u);
  loop.RunUntilIdle();
  EXPECT_THAT(upstream.writes, ElementsAre(3u));
  EXPECT_EQ(upstream.reads, 0);
  downstream = upstream = StreamCalls();

  const uint8_t answer[] = {4, 5, 6, 7};
  EXPECT_EQ(server->Write(answer).bytes, 4u);
  loop.RunUntilIdle();
  EXPECT_THAT(downstream.writes, ElementsAre(4u));
  EXPECT_EQ(downstream.reads, 0);
}

// A relay between two pairs, with room for so much in front of the server.
class RelayBulkTest : public ::testing::Test {
 protected:
  void Start(size_t room) {
    MemoryStreamPair::Quota quota;
    quota.capacity = 4 << 20;
    MemoryStreamPair near(&loop_, quota, quota);
    quota.capacity = room;
    MemoryStreamPair far(&loop_, quota, quota);
    relay_ = std::make_unique<Relay>(&loop_, absl::MakeSpan(scratch_),
                                     std::make_unique<CountedStream>(near.TakeB(), &downstream_),
                                     std::make_unique<CountedStream>(far.TakeA(), &upstream_),
                                     &options_, [](const RelayResult&) {});
    client_ = near.TakeA();
    server_ = far.TakeB();
    relay_->Start();
    loop_.RunUntilIdle();
  }
  void Send(size_t bytes) {
    const std::vector<uint8_t> data(bytes);
    ASSERT_EQ(client_->Write(data).bytes, bytes);
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  StreamCalls downstream_;
  StreamCalls upstream_;
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(256 * 1024);
  const Relay::Options options_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<ByteStream> client_;
  std::unique_ptr<ByteStream> server_;
};

TEST_F(RelayBulkTest, ReadsMuchAtOnceWhereTheOtherSideHasRoom) {
  Start(/*room=*/4 << 20);
  Send(1 << 20);
  EXPECT_THAT(upstream_.writes,
              ElementsAre(64u << 10, 256u << 10, 256u << 10, 256u << 10, 192u << 10));
}

TEST_F(RelayBulkTest, KeepsLittleOfBulkThatNobodyTakes) {
  Start(/*room=*/500 << 10);
  Send(2 << 20);
  EXPECT_EQ(downstream_.longest_read, 256u << 10);
  EXPECT_LE(relay_->buffered_bytes(), 64u << 10);
}

TEST_F(RelayBulkTest, AsksForLittleWhereLittleComes) {
  Start(/*room=*/4 << 20);
  for (int i = 0; i < 5; ++i) Send(10000);
  EXPECT_EQ(downstream_.longest_read, 64u << 10);
}

}  // namespace
}  // namespace byrnie
