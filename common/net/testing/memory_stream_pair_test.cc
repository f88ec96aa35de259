#include "common/net/testing/memory_stream_pair.h"

#include <string>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Side = MemoryStreamPair::Side;

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

struct Got {
  std::string data;
  IoStatus end;
};

Got ReadAll(ByteStream* stream) {
  Got got;
  uint8_t buffer[100];
  while (true) {
    IoResult result = stream->Read(absl::MakeSpan(buffer));
    if (result.status != IoStatus::kOk) {
      got.end = result.status;
      return got;
    }
    got.data.append(reinterpret_cast<char*>(buffer), result.bytes);
  }
}

TEST(MemoryStreamPairTest, HoldsEachCallToItsQuota) {
  ManualEventLoop loop;
  MemoryStreamPair::Quota a, b;
  a.write = 3;
  a.capacity = 4;
  b.read = 2;
  MemoryStreamPair pair(&loop, a, b);
  auto left = pair.TakeA();
  auto right = pair.TakeB();
  EXPECT_EQ(left->Write(Bytes("abcdef")).bytes, 3u);
  EXPECT_EQ(left->Write(Bytes("def")).bytes, 1u);
  EXPECT_EQ(left->Write(Bytes("ef")).status, IoStatus::kWouldBlock);
  uint8_t buffer[10];
  EXPECT_EQ(right->Read(absl::MakeSpan(buffer)).bytes, 2u);
  EXPECT_EQ(left->Write(Bytes("ef")).bytes, 2u);
  EXPECT_EQ(pair.bytes_sent(Side::kA), 6u);
}

TEST(MemoryStreamPairTest, BlocksBetweenTransfersWhenAsked) {
  ManualEventLoop loop;
  MemoryStreamPair::Quota quota;
  quota.block_between = true;
  MemoryStreamPair pair(&loop, quota, quota);
  auto left = pair.TakeA();
  auto right = pair.TakeB();
  EXPECT_EQ(left->Write(Bytes("a")).status, IoStatus::kOk);
  EXPECT_EQ(left->Write(Bytes("b")).status, IoStatus::kWouldBlock);
  EXPECT_EQ(left->Write(Bytes("b")).status, IoStatus::kOk);
  uint8_t byte[1];
  EXPECT_EQ(right->Read(absl::MakeSpan(byte)).status, IoStatus::kOk);
  EXPECT_EQ(right->Read(absl::MakeSpan(byte)).status, IoStatus::kWouldBlock);
  EXPECT_EQ(right->Read(absl::MakeSpan(byte)).status, IoStatus::kOk);
}

TEST(MemoryStreamPairTest, TruncationLooksLikeACleanEnd) {
  ManualEventLoop loop;
  MemoryStreamPair pair(&loop);
  auto left = pair.TakeA();
  auto right = pair.TakeB();
  pair.Truncate(Side::kA, 3);
  EXPECT_EQ(left->Write(Bytes("abcdef")).bytes, 6u);
  Got got = ReadAll(right.get());
  EXPECT_EQ(got.data, "abc");
  EXPECT_EQ(got.end, IoStatus::kEof);
  EXPECT_EQ(right->Write(Bytes("back")).status, IoStatus::kOk) << "the other direction goes on";
  EXPECT_EQ(ReadAll(left.get()).data, "back");
}

TEST(MemoryStreamPairTest, FailureBreaksBothEndsAfterWhatIsInFlight) {
  ManualEventLoop loop;
  MemoryStreamPair pair(&loop);
  auto left = pair.TakeA();
  auto right = pair.TakeB();
  EXPECT_EQ(left->Write(Bytes("abc")).bytes, 3u);
  pair.Fail(absl::UnavailableError("cable cut"));
  Got got = ReadAll(right.get());
  EXPECT_EQ(got.data, "abc");
  EXPECT_EQ(got.end, IoStatus::kError);
  EXPECT_EQ(left->Write(Bytes("x")).status, IoStatus::kError);
  EXPECT_THAT(left->error(), StatusIs(absl::StatusCode::kUnavailable, "cable cut"));
}

TEST(MemoryStreamPairTest, EndsMayOutliveThePair) {
  ManualEventLoop loop;
  std::unique_ptr<ByteStream> left, right;
  {
    MemoryStreamPair pair(&loop);
    left = pair.TakeA();
    right = pair.TakeB();
  }
  EXPECT_EQ(left->Write(Bytes("abc")).bytes, 3u);
  EXPECT_EQ(ReadAll(right.get()).data, "abc");
}

TEST(MemoryStreamPairTest, LosesWhatIsInFlightWhenAnEndDiesBeforeItsResetIsFlushed) {
  ManualEventLoop loop;
  MemoryStreamPair pair(&loop);
  auto left = pair.TakeA();
  auto right = pair.TakeB();
  EXPECT_EQ(left->Write(Bytes("abc")).bytes, 3u);
  left->Reset();
  EXPECT_FALSE(left->Flushed());
  left.reset();
  Got got = ReadAll(right.get());
  EXPECT_EQ(got.data, "");
  EXPECT_EQ(got.end, IoStatus::kError);
}

}  // namespace
}  // namespace byrnie
