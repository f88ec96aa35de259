// How often a relay asks its streams: of sockets, each time is a system call.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_pieces.h"
#include "common/net/byte_stream.h"
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

// A stream that shows what it has, as a tunnel's does in bulk.
class ShownStream final : public ByteStream {
 public:
  explicit ShownStream(std::unique_ptr<ByteStream> inner) : inner_(std::move(inner)) {}
  void SetObserver(Observer* observer) override {
    observer_ = observer;
    inner_->SetObserver(observer);
  }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    ++reads;
    return inner_->Read(buffer);
  }
  IoResult Write(absl::Span<const uint8_t> data) override { return inner_->Write(data); }
  absl::Span<const absl::Span<const uint8_t>> Peek() const override { return shown.pieces(); }
  void Skip(size_t bytes) override { shown.Skip(bytes); }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Reset() override { inner_->Reset(); }
  bool Flushed() const override { return inner_->Flushed(); }
  absl::Status error() const override { return inner_->error(); }
  void Tell() { observer_->OnReadable(); }

  BytePieces shown;
  int reads = 0;

 private:
  const std::unique_ptr<ByteStream> inner_;
  Observer* observer_ = nullptr;  // Not owned.
};

// What upstream shows goes to the client, whose transport has room for so much.
class RelayShownTest : public ::testing::Test {
 protected:
  void Start(size_t room) {
    MemoryStreamPair::Quota quota;
    quota.capacity = room;
    MemoryStreamPair near(&loop_, quota, quota);
    MemoryStreamPair far(&loop_);
    auto upstream = std::make_unique<ShownStream>(far.TakeA());
    upstream_ = upstream.get();
    relay_ = std::make_unique<Relay>(&loop_, absl::MakeSpan(scratch_),
                                     std::make_unique<CountedStream>(near.TakeB(), &downstream_),
                                     std::move(upstream), &options_, [](const RelayResult&) {});
    client_ = near.TakeA();
    server_ = far.TakeB();
    relay_->Start();
    loop_.RunUntilIdle();
    downstream_ = StreamCalls();
    upstream_->reads = 0;
  }
  void Show(int pieces) {
    for (int i = 0; i < pieces; ++i) upstream_->shown.Add(block_);
    upstream_->Tell();
  }

  ManualEventLoop loop_;
  const std::vector<uint8_t> block_ = std::vector<uint8_t>(16 * 1024, 7);
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(64 * 1024);
  const Relay::Options options_;
  StreamCalls downstream_;
  std::unique_ptr<Relay> relay_;
  ShownStream* upstream_ = nullptr;  // Owned by the relay.
  std::unique_ptr<ByteStream> client_;
  std::unique_ptr<ByteStream> server_;
};

TEST_F(RelayShownTest, PassesOnWhatIsShownInOneCall) {
  Start(4 << 20);
  Show(8);
  EXPECT_THAT(downstream_.writes, ElementsAre(8 * block_.size()));
  EXPECT_TRUE(upstream_->shown.empty());
  EXPECT_EQ(relay_->bytes_to_downstream(), 8 * block_.size());
  // Then it asks for what is not shown.
  EXPECT_EQ(upstream_->reads, 1);
}

TEST_F(RelayShownTest, LeavesWhatIsNotTakenWhereItIs) {
  Start(40 * 1024);
  Show(4);
  EXPECT_EQ(downstream_.writes.front(), 40u * 1024);
  EXPECT_EQ(upstream_->shown.size(), 24u * 1024);
  EXPECT_EQ(relay_->buffered_bytes(), 0u);
  EXPECT_EQ(upstream_->reads, 0);
  std::vector<uint8_t> buffer(64 * 1024);
  EXPECT_EQ(client_->Read(absl::MakeSpan(buffer)).bytes, 40u * 1024);
  loop_.RunUntilIdle();
  EXPECT_TRUE(upstream_->shown.empty());
  EXPECT_EQ(relay_->bytes_to_downstream(), 4 * block_.size());
}

TEST_F(RelayShownTest, LeavesTheRestForAnotherTurn) {
  Start(4 << 20);
  Show(64);
  // One write cannot be cut short; what is shown beyond it waits.
  EXPECT_EQ(downstream_.writes.size(), 1u);
  loop_.RunUntilIdle();
  EXPECT_EQ(relay_->bytes_to_downstream(), 64 * block_.size());
}

TEST_F(RelayShownTest, EndsWhereNobodyTakesWhatIsShown) {
  Start(4 << 20);
  client_->Reset();
  loop_.RunUntilIdle();
  upstream_->shown.Add(block_);
  loop_.RunUntilIdle();
  EXPECT_EQ(relay_->bytes_to_downstream(), 0u);
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
