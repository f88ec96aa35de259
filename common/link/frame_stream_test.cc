#include "common/link/frame_stream.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Quota = MemoryStreamPair::Quota;

class Recorder final : public FrameStream::Delegate {
 public:
  void OnFrame(absl::string_view payload) override {
    frames.emplace_back(payload);
    if (close_after != 0 && frames.size() == close_after) {
      stream->Close(absl::CancelledError("enough"));
    }
  }
  void OnClosed(const absl::Status& status) override {
    closed.push_back(status);
    if (destroy_when_closed) stream.reset();
  }

  std::unique_ptr<FrameStream> stream;
  std::vector<std::string> frames;
  std::vector<absl::Status> closed;
  size_t close_after = 0;
  bool destroy_when_closed = false;
};

class FrameStreamTest : public ::testing::TestWithParam<Quota> {
 protected:
  FrameStreamTest() : pair_(&loop_, GetParam(), GetParam()) {
    a_.stream = std::make_unique<FrameStream>(&loop_, pair_.TakeA(), &a_);
  }
  void TakeBothEnds() { b_.stream = std::make_unique<FrameStream>(&loop_, pair_.TakeB(), &b_); }

  // Writes from the other end what no FrameStream would.
  void WriteRaw(ByteStream* end, absl::string_view bytes) {
    while (!bytes.empty()) {
      IoResult result = end->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
      ASSERT_NE(result.status, IoStatus::kError);
      bytes.remove_prefix(result.bytes);
      loop_.RunUntilIdle();
    }
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  Recorder a_;
  Recorder b_;
};

TEST_P(FrameStreamTest, CarriesFramesBothWaysInOrder) {
  TakeBothEnds();
  const std::string large(5000, 'x');
  ASSERT_THAT(a_.stream->Send("one"), IsOk());
  ASSERT_THAT(a_.stream->Send(""), IsOk());
  ASSERT_THAT(a_.stream->Send(large), IsOk());
  ASSERT_THAT(b_.stream->Send("back"), IsOk());
  EXPECT_THAT(b_.frames, IsEmpty());
  loop_.RunUntilIdle();
  EXPECT_THAT(b_.frames, ElementsAre("one", "", large));
  EXPECT_THAT(a_.frames, ElementsAre("back"));
}

TEST_P(FrameStreamTest, TellsOfACleanEndOnce) {
  TakeBothEnds();
  ASSERT_THAT(a_.stream->Send("last"), IsOk());
  loop_.RunUntilIdle();
  a_.stream->Close(absl::OkStatus());
  EXPECT_THAT(a_.closed, IsEmpty());
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.closed, ElementsAre(IsOk()));
  EXPECT_THAT(b_.frames, ElementsAre("last"));
  EXPECT_THAT(b_.closed, ElementsAre(IsOk()));
  EXPECT_THAT(b_.stream->Send("late"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(FrameStreamTest, DeliversNothingAfterClose) {
  TakeBothEnds();
  a_.close_after = 1;
  b_.stream->Send("first").IgnoreError();
  b_.stream->Send("second").IgnoreError();
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.frames, ElementsAre("first"));
  EXPECT_THAT(a_.closed, ElementsAre(StatusIs(absl::StatusCode::kCancelled)));
}

TEST_P(FrameStreamTest, MayBeDestroyedWhenItHasClosed) {
  TakeBothEnds();
  a_.destroy_when_closed = true;
  b_.stream.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(a_.stream, nullptr);
  EXPECT_EQ(a_.closed.size(), 1u);
}

TEST_P(FrameStreamTest, CallsAnEndInsideAFrameALoss) {
  std::unique_ptr<ByteStream> raw = pair_.TakeB();
  WriteRaw(raw.get(), absl::string_view("\0\0\0\5abc", 7));
  raw->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.frames, IsEmpty());
  EXPECT_THAT(a_.closed, ElementsAre(StatusIs(absl::StatusCode::kDataLoss)));
}

TEST_P(FrameStreamTest, RefusesAFrameThatIsTooLargeBeforeItIsThere) {
  std::unique_ptr<ByteStream> raw = pair_.TakeB();
  WriteRaw(raw.get(), absl::string_view("\x00\x40\x00\x01", 4));
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.closed,
              ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4194305"))));
}

TEST_P(FrameStreamTest, DoesNotSendAFrameThatIsTooLarge) {
  EXPECT_THAT(a_.stream->Send(std::string(FrameStream::kMaxFrame + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.closed, IsEmpty());
}

TEST_P(FrameStreamTest, EndsWhenThePeerDoesNotRead) {
  std::unique_ptr<ByteStream> silent = pair_.TakeB();
  const std::string large(FrameStream::kMaxFrame, 'x');
  absl::Status status;
  for (int i = 0; i < 6 && status.ok(); ++i) status = a_.stream->Send(large);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.closed, ElementsAre(StatusIs(absl::StatusCode::kResourceExhausted)));
}

TEST_P(FrameStreamTest, DeliversWhatCameBeforeABrokenTransport) {
  TakeBothEnds();
  b_.stream->Send("in time").IgnoreError();
  loop_.RunUntilIdle();
  pair_.Fail(absl::UnavailableError("cable cut"));
  loop_.RunUntilIdle();
  EXPECT_THAT(a_.frames, ElementsAre("in time"));
  EXPECT_THAT(a_.closed, ElementsAre(StatusIs(absl::StatusCode::kUnavailable)));
}

INSTANTIATE_TEST_SUITE_P(Quotas, FrameStreamTest, ::testing::Values(Quota(), Quota::OneByte()),
                         [](const ::testing::TestParamInfo<Quota>& info) {
                           return info.index == 0 ? "Unlimited" : "OneByte";
                         });

TEST(FrameStreamLargeTest, CarriesTheLargestFrame) {
  ManualEventLoop loop;
  MemoryStreamPair pair(&loop);
  Recorder a, b;
  a.stream = std::make_unique<FrameStream>(&loop, pair.TakeA(), &a);
  b.stream = std::make_unique<FrameStream>(&loop, pair.TakeB(), &b);
  std::string large(FrameStream::kMaxFrame, 'x');
  large.back() = 'y';
  ASSERT_THAT(a.stream->Send(large), IsOk());
  loop.RunUntilIdle();
  ASSERT_EQ(b.frames.size(), 1u);
  EXPECT_TRUE(b.frames[0] == large);
}

}  // namespace
}  // namespace byrnie
