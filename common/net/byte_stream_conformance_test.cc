// What every ByteStream promises, held for TCP over loopback and for the pair in memory.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using StreamPair = std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>>;

StreamPair MakeTcp(ManualEventLoop* loop) {
  std::unique_ptr<TcpStream> accepted, connected;
  auto listener =
      TcpListener::Create(loop, *SocketAddress::Parse("127.0.0.1:0"), TcpListener::Options(),
                          [&](std::unique_ptr<TcpStream> stream) { accepted = std::move(stream); });
  CHECK_OK(listener);
  auto attempt = TcpStream::Connect(loop, (*listener)->address(), TcpStream::ConnectOptions(),
                                    [&](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                      CHECK_OK(stream);
                                      connected = *std::move(stream);
                                    });
  CHECK(loop->RunUntil([&] { return accepted != nullptr && connected != nullptr; }));
  return {std::move(connected), std::move(accepted)};
}

StreamPair MakeMemory(ManualEventLoop* loop) {
  MemoryStreamPair pair(loop);
  return {pair.TakeA(), pair.TakeB()};
}

StreamPair MakeMemoryOneByte(ManualEventLoop* loop) {
  MemoryStreamPair pair(loop, MemoryStreamPair::Quota::OneByte(),
                        MemoryStreamPair::Quota::OneByte());
  return {pair.TakeA(), pair.TakeB()};
}

// Counts upcalls; reads and writes as much as it can in each when told to.
class Endpoint : public ByteStream::Observer {
 public:
  explicit Endpoint(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}

  void OnReadable() override {
    EXPECT_FALSE(in_call_) << "an upcall inside a call";
    ++readable;
    if (pumping_) Read();
  }
  void OnWritable() override {
    EXPECT_FALSE(in_call_) << "an upcall inside a call";
    ++writable;
    if (pumping_) Write();
  }

  // Sends `data`, then ends the direction when `shut` says so, reading all the time.
  void Pump(std::string data, bool shut) {
    unsent_ = std::move(data);
    shut_ = shut;
    pumping_ = true;
    stream_->SetObserver(this);
    Write();
    Read();
  }
  void Read() {
    uint8_t buffer[4096];
    while (true) {
      IoResult result = Call([&] { return stream_->Read(absl::MakeSpan(buffer, read_size)); });
      received.append(reinterpret_cast<char*>(buffer), result.bytes);
      last_read = result.status;
      if (result.status != IoStatus::kOk) return;
    }
  }
  void Write() {
    while (!unsent_.empty()) {
      IoResult result = Call([&] {
        return stream_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(unsent_.data()),
                                                  std::min(unsent_.size(), write_size)));
      });
      unsent_.erase(0, result.bytes);
      last_write = result.status;
      if (result.status != IoStatus::kOk) return;
    }
    if (shut_) stream_->ShutdownWrite();
  }
  // One call; nothing may be called back meanwhile.
  IoResult Call(const std::function<IoResult()>& call) {
    in_call_ = true;
    IoResult result = call();
    in_call_ = false;
    return result;
  }
  IoResult WriteOnce(absl::string_view text) {
    return Call([&] {
      return stream_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
    });
  }

  ByteStream* operator->() { return stream_.get(); }
  void Destroy() { stream_.reset(); }
  bool sent() const { return unsent_.empty(); }

  int readable = 0;
  int writable = 0;
  std::string received;
  IoStatus last_read = IoStatus::kOk;
  IoStatus last_write = IoStatus::kOk;
  size_t read_size = 4096;
  size_t write_size = static_cast<size_t>(-1);

 private:
  std::unique_ptr<ByteStream> stream_;
  std::string unsent_;
  bool shut_ = false;
  bool pumping_ = false;
  bool in_call_ = false;
};

std::string Pattern(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + (i * 7 + i / 251) % 26));
  return text;
}

struct Kind {
  std::string name;
  StreamPair (*make)(ManualEventLoop*);
};

class ByteStreamConformanceTest : public ::testing::TestWithParam<Kind> {
 protected:
  ByteStreamConformanceTest()
      : pair_(GetParam().make(&loop_)), a_(std::move(pair_.first)), b_(std::move(pair_.second)) {}

  bool RunUntil(absl::FunctionRef<bool()> condition) { return loop_.RunUntil(condition); }
  // As RunUntil, for what waits for timers too.
  bool RunUntilWithTime(absl::FunctionRef<bool()> condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      loop_.AdvanceTime(absl::Milliseconds(5));
      loop_.RunOnce();
    }
    return condition();
  }

  ManualEventLoop loop_;
  StreamPair pair_;
  Endpoint a_;
  Endpoint b_;
};

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
  const size_t size = GetParam().name == "MemoryOneByte" ? 5000 : 20 * 1024 * 1024;
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
  const std::string data = Pattern(GetParam().name == "MemoryOneByte" ? 1000 : 300000);
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
  ASSERT_TRUE(RunUntil([&] { return a_.sent() || GetParam().name == "MemoryOneByte"; }));
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
  while (a_.WriteOnce(Pattern(4096)).status == IoStatus::kOk) {
  }
  while (a_.WriteOnce("x").status == IoStatus::kOk) {
  }
  loop_.RunUntilIdle();
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
    void OnWritable() override { ++calls; }
    Endpoint* victim;
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

INSTANTIATE_TEST_SUITE_P(Streams, ByteStreamConformanceTest,
                         ::testing::Values(Kind{"Tcp", MakeTcp}, Kind{"Memory", MakeMemory},
                                           Kind{"MemoryOneByte", MakeMemoryOneByte}),
                         [](const ::testing::TestParamInfo<Kind>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace byrnie
