#include "common/net/prefixed_stream.h"

#include <memory>
#include <string>
#include <utility>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/byte_stream_conformance.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// Reads `size` bytes at a time until it is told to wait, or the end.
std::string ReadAll(ByteStream* stream, size_t size, IoStatus* last) {
  std::string text;
  std::string buffer(size, '\0');
  while (true) {
    const IoResult result =
        stream->Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(&buffer[0]), buffer.size()));
    *last = result.status;
    if (result.status != IoStatus::kEof && result.status != IoStatus::kError) {
      text.append(buffer, 0, result.bytes);
    }
    if (result.status != IoStatus::kOk) return text;
  }
}

void WriteText(ByteStream* stream, const std::string& text) {
  stream->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

class Reader final : public ByteStream::Observer {
 public:
  explicit Reader(ByteStream* stream) : stream_(stream) { stream->SetObserver(this); }
  void OnReadable() override {
    ++calls;
    text += ReadAll(stream_, 64, &last);
  }
  void OnWritable() override {}

  int calls = 0;
  std::string text;
  IoStatus last = IoStatus::kOk;

 private:
  ByteStream* const stream_;
};

class PrefixedStreamTest : public ::testing::Test {
 protected:
  PrefixedStreamTest() : pair_(&loop_), peer_(pair_.TakeB()) {}

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> peer_;
};

TEST_F(PrefixedStreamTest, GivesThePrefixThenTheStream) {
  for (const size_t size : {size_t{1}, size_t{3}, size_t{64}}) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<ByteStream> peer = pair.TakeB();
    PrefixedStream stream(&loop_, "hello ", pair.TakeA());
    WriteText(peer.get(), "world");
    IoStatus last;
    EXPECT_EQ(ReadAll(&stream, size, &last), "hello world");
    EXPECT_EQ(last, IoStatus::kWouldBlock);
  }
}

TEST_F(PrefixedStreamTest, TellsItsObserverOfThePrefixOutsideOfTheCall) {
  PrefixedStream stream(&loop_, "hello", pair_.TakeA());
  Reader reader(&stream);
  EXPECT_EQ(reader.calls, 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(reader.text, "hello");
  WriteText(peer_.get(), " world");
  loop_.RunUntilIdle();
  EXPECT_EQ(reader.text, "hello world");
}

TEST_F(PrefixedStreamTest, TellsEachNewObserver) {
  PrefixedStream stream(&loop_, "hello", pair_.TakeA());
  Reader first(&stream);
  Reader second(&stream);
  loop_.RunUntilIdle();
  EXPECT_EQ(first.calls, 0);
  EXPECT_EQ(second.text, "hello");
}

TEST_F(PrefixedStreamTest, AnEndComesBehindThePrefix) {
  PrefixedStream stream(&loop_, "hello", pair_.TakeA());
  peer_->ShutdownWrite();
  loop_.RunUntilIdle();
  IoStatus last;
  EXPECT_EQ(ReadAll(&stream, 2, &last), "hello");
  EXPECT_EQ(last, IoStatus::kEof);
}

TEST_F(PrefixedStreamTest, AResetComesBehindThePrefix) {
  PrefixedStream stream(&loop_, "hello", pair_.TakeA());
  peer_.reset();
  loop_.RunUntilIdle();
  IoStatus last;
  EXPECT_EQ(ReadAll(&stream, 64, &last), "hello");
  EXPECT_EQ(last, IoStatus::kError);
  EXPECT_EQ(stream.error().code(), absl::StatusCode::kUnavailable);
}

TEST_F(PrefixedStreamTest, GivesNothingAfterItsOwnReset) {
  PrefixedStream stream(&loop_, "hello", pair_.TakeA());
  Reader reader(&stream);
  stream.Reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(reader.text, "");
  IoStatus last;
  EXPECT_EQ(ReadAll(&stream, 64, &last), "");
  EXPECT_EQ(last, IoStatus::kError);
}

TEST_F(PrefixedStreamTest, DyingItTellsNobody) {
  auto stream = std::make_unique<PrefixedStream>(&loop_, "hello", pair_.TakeA());
  Reader reader(stream.get());
  stream.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(reader.calls, 0);
}

// Behind its prefix it is the stream below, in all it promises.
ByteStreamPair MakePrefixed(ManualEventLoop* loop, const MemoryStreamPair::Quota& quota) {
  MemoryStreamPair pair(loop, quota, quota);
  auto a = std::make_unique<PrefixedStream>(loop, "x", pair.TakeA());
  auto b = std::make_unique<PrefixedStream>(loop, "x", pair.TakeB());
  uint8_t byte;
  EXPECT_EQ(a->Read(absl::MakeSpan(&byte, 1)).bytes, 1u);
  EXPECT_EQ(b->Read(absl::MakeSpan(&byte, 1)).bytes, 1u);
  return {std::move(a), std::move(b)};
}

ByteStreamKind OneByteKind() {
  ByteStreamKind kind{"PrefixedOneByte", [](ManualEventLoop* loop) {
                        return MakePrefixed(loop, MemoryStreamPair::Quota::OneByte());
                      }};
  kind.byte_at_a_time = true;
  return kind;
}

INSTANTIATE_TEST_SUITE_P(Streams, ByteStreamConformanceTest,
                         ::testing::Values(ByteStreamKind{"Prefixed",
                                                          [](ManualEventLoop* loop) {
                                                            return MakePrefixed(
                                                                loop, MemoryStreamPair::Quota());
                                                          }},
                                           OneByteKind()),
                         ByteStreamKindName());

}  // namespace
}  // namespace byrnie
