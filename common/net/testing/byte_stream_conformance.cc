#include "common/net/testing/byte_stream_conformance.h"

#include <algorithm>

#include "absl/time/time.h"
#include "common/base/status_matchers.h"

namespace byrnie {
namespace {

std::string Pattern(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + (i * 7 + i / 251) % 26));
  return text;
}

}  // namespace

bool ByteStreamConformanceTest::RunUntilWithTime(absl::FunctionRef<bool()> condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    loop_.AdvanceTime(absl::Milliseconds(5));
    loop_.RunOnce();
  }
  return condition();
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ByteStreamConformanceTest);

TEST_P(ByteStreamConformanceTest, CarriesBytesBothWaysAndEndsBothCleanly) {
  const std::string from_a = Pattern(20000), from_b = Pattern(15001);
  b_.Pump(from_b, true);
  a_.Pump(from_a, true);
  ASSERT_TRUE(
      RunUntil([&] { return a_.last_read == IoStatus::kEof && b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received, from_a);
  EXPECT_EQ(a_.received, from_b);
  EXPECT_THAT(a_->error(), IsOk());
  EXPECT_TRUE(a_->Flushed());
}

TEST_P(ByteStreamConformanceTest, CarriesMoreThanFitsBetween) {
  const size_t size = GetParam().byte_at_a_time ? 5000 : GetParam().much;
  const std::string data = Pattern(size);
  a_.Pump(data, true);
  loop_.RunUntilIdle();
  EXPECT_FALSE(a_.sent()) << "the writer blocks while nobody reads";
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received.size(), data.size());
  EXPECT_TRUE(b_.received == data);
}

TEST_P(ByteStreamConformanceTest, MovesOneByteAtATime) {
  const std::string data = Pattern(300);
  a_.write_size = 1;
  b_.read_size = 1;
  b_.Pump("", false);
  a_.Pump(data, true);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received, data);
}

TEST_P(ByteStreamConformanceTest, KeepsTheOtherDirectionOpenAfterAHalfClose) {
  a_.Pump("request", true);
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received, "request");
  EXPECT_EQ(a_.last_read, IoStatus::kWouldBlock);
  b_.Pump("late answer", true);
  ASSERT_TRUE(RunUntil([&] { return a_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(a_.received, "late answer");
}

TEST_P(ByteStreamConformanceTest, StaysAtTheEnd) {
  a_.Pump("", true);
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  for (int i = 0; i < 3; ++i) {
    b_.Read();
    EXPECT_EQ(b_.last_read, IoStatus::kEof);
  }
}

TEST_P(ByteStreamConformanceTest, RefusesToWriteAfterShutdown) {
  a_->ShutdownWrite();
  a_->ShutdownWrite();
  EXPECT_EQ(a_.WriteOnce("x").status, IoStatus::kError);
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received, "");
}

TEST_P(ByteStreamConformanceTest, DeliversEverythingBeforeAReset) {
  const std::string data = Pattern(GetParam().byte_at_a_time ? 1000 : 300000);
  b_.Pump("", false);
  a_.Pump(data, false);
  ASSERT_TRUE(RunUntil([&] { return a_.sent(); }));
  a_->Reset();
  a_->Reset();
  ASSERT_TRUE(RunUntilWithTime([&] { return b_.last_read == IoStatus::kError; }));
  EXPECT_EQ(b_.received.size(), data.size());
  EXPECT_TRUE(b_.received == data);
  EXPECT_THAT(b_->error(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(a_->Flushed());
  b_.Read();
  EXPECT_EQ(b_.last_read, IoStatus::kError) << "sticky";
  EXPECT_EQ(b_.WriteOnce("x").status, IoStatus::kError);
}

TEST_P(ByteStreamConformanceTest, DeliversWhatWasNotReadYetBeforeAReset) {
  a_.Pump("last words", false);
  ASSERT_TRUE(RunUntil([&] { return a_.sent() || GetParam().byte_at_a_time; }));
  const std::string expected = a_.sent() ? "last words" : "l";
  a_->Reset();
  RunUntilWithTime([&] { return a_->Flushed(); });
  b_.Pump("", false);
  ASSERT_TRUE(RunUntilWithTime([&] { return b_.last_read == IoStatus::kError; }));
  EXPECT_EQ(b_.received, expected);
}

TEST_P(ByteStreamConformanceTest, DoesNothingMoreAfterItsOwnReset) {
  a_->Reset();
  EXPECT_EQ(a_.WriteOnce("x").status, IoStatus::kError);
  a_.Read();
  EXPECT_EQ(a_.last_read, IoStatus::kError);
  a_->ShutdownWrite();
  b_.Pump("", false);
  ASSERT_TRUE(RunUntilWithTime([&] { return b_.last_read == IoStatus::kError; }));
}

TEST_P(ByteStreamConformanceTest, TellsWhenAResetHasBeenFlushed) {
  a_->SetObserver(&a_);
  // Until it blocks: then there is something to wait for.
  while (a_.WriteOnce("0123456789").status == IoStatus::kOk) {
  }
  loop_.RunUntilIdle();
  a_->Reset();
  EXPECT_FALSE(a_->Flushed());
  const int before = a_.writable;
  b_.Pump("", false);
  ASSERT_TRUE(RunUntilWithTime([&] { return a_->Flushed(); }));
  ASSERT_TRUE(RunUntil([&] { return a_.writable > before; }));
  ASSERT_TRUE(RunUntilWithTime([&] { return b_.last_read == IoStatus::kError; }));
}

TEST_P(ByteStreamConformanceTest, ResetsThePeerWhenDestroyedInMidAir) {
  b_.Pump("", false);
  a_.Pump("abc", false);
  ASSERT_TRUE(RunUntil([&] { return b_.received == "abc"; }));
  a_.Destroy();
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kError; }));
  EXPECT_THAT(b_->error(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(ByteStreamConformanceTest, EndsCleanlyWhenDestroyedAfterShutdown) {
  b_.Pump("", false);
  a_.Pump("abc", true);
  ASSERT_TRUE(RunUntil([&] { return b_.received == "abc"; }));
  a_.Destroy();
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_THAT(b_->error(), IsOk());
}

TEST_P(ByteStreamConformanceTest, TellsAResetThatComesAfterTheEnd) {
  b_.Pump("", false);
  a_.Pump("abc", true);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  a_->Reset();
  ASSERT_TRUE(RunUntilWithTime([&] { return b_.last_read == IoStatus::kError; }));
  EXPECT_EQ(b_.received, "abc");
}

TEST_P(ByteStreamConformanceTest, TellsAnEdgeOnceAfterWouldBlock) {
  b_->SetObserver(&b_);
  b_.Read();
  EXPECT_EQ(b_.last_read, IoStatus::kWouldBlock);
  ASSERT_EQ(a_.WriteOnce("1").bytes, 1u);
  ASSERT_TRUE(RunUntil([&] { return b_.readable == 1; }));
  // Not read: whatever else arrives, there is no second call.
  a_.Pump("2", true);
  loop_.RunUntilIdle();
  EXPECT_EQ(b_.readable, 1);
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return b_.last_read == IoStatus::kEof; }));
  EXPECT_EQ(b_.received, "12");
}

TEST_P(ByteStreamConformanceTest, TellsTheWriterOnceWhenThereIsRoomAgain) {
  a_->SetObserver(&a_);
  // Until there is no room left anywhere on the way.
  do {
    while (a_.WriteOnce(Pattern(4096)).status == IoStatus::kOk) {
    }
    loop_.RunUntilIdle();
  } while (a_.WriteOnce("x").bytes > 0);
  const int before = a_.writable;
  b_.Pump("", false);
  ASSERT_TRUE(RunUntil([&] { return a_.writable > before; }));
  loop_.RunUntilIdle();
  EXPECT_EQ(a_.writable, before + 1);
}

TEST_P(ByteStreamConformanceTest, TellsANewObserverWhatIsThere) {
  ASSERT_EQ(a_.WriteOnce("x").bytes, 1u);
  loop_.RunUntilIdle();
  b_->SetObserver(&b_);
  EXPECT_EQ(b_.readable, 0) << "never inside the call";
  ASSERT_TRUE(RunUntil([&] { return b_.readable == 1; }));
  // Handed on without having been read: the next one hears too.
  struct Counter : ByteStream::Observer {
    void OnReadable() override { ++readable; }
    void OnWritable() override {}
    int readable = 0;
  } next;
  b_->SetObserver(&next);
  ASSERT_TRUE(RunUntil([&] { return next.readable == 1; }));
  EXPECT_EQ(b_.readable, 1);
  b_->SetObserver(nullptr);
}

TEST_P(ByteStreamConformanceTest, IsSilentWithoutAnObserver) {
  b_->SetObserver(&b_);
  b_->SetObserver(nullptr);
  a_.WriteOnce("x");
  loop_.RunUntilIdle();
  EXPECT_EQ(b_.readable, 0);
}

TEST_P(ByteStreamConformanceTest, CallsNobodyOnceDestroyed) {
  b_->SetObserver(&b_);
  a_.WriteOnce("x");
  b_.Destroy();
  loop_.RunUntilIdle();
  EXPECT_EQ(b_.readable, 0);
  EXPECT_EQ(b_.writable, 0);
}

TEST_P(ByteStreamConformanceTest, MayBeDestroyedInItsOwnUpcall) {
  struct Killer : ByteStream::Observer {
    void OnReadable() override {
      ++calls;
      victim->Destroy();
    }
    void OnWritable() override {
      if (calls > 0) ++calls;  // It is gone.
    }
    ConformanceEndpoint* victim;
    int calls = 0;
  } killer;
  killer.victim = &b_;
  b_->SetObserver(&killer);
  a_.WriteOnce("x");
  ASSERT_TRUE(RunUntil([&] { return killer.calls > 0; }));
  loop_.RunUntilIdle();
  EXPECT_EQ(killer.calls, 1);
}

TEST_P(ByteStreamConformanceTest, TakesEmptyBuffers) {
  EXPECT_EQ(a_.WriteOnce("").status, IoStatus::kOk);
  EXPECT_EQ(a_->Read({}).status, IoStatus::kOk);
  EXPECT_TRUE(a_->Flushed());
}

}  // namespace byrnie
