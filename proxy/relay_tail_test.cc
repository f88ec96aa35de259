// The last bytes of a relay, when a kernel has them and the reader's host does not take them.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/relay.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// A stream whose kernel has still to deliver `*queued` bytes; whoever asks for it is counted.
class QueueingStream final : public ByteStream {
 public:
  QueueingStream(std::unique_ptr<ByteStream> stream, const uint64_t* queued, int* asked)
      : stream_(std::move(stream)), queued_(queued), asked_(asked) {}
  void SetObserver(Observer* observer) override { stream_->SetObserver(observer); }
  IoResult Read(absl::Span<uint8_t> buffer) override { return stream_->Read(buffer); }
  IoResult Write(absl::Span<const uint8_t> data) override { return stream_->Write(data); }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override { stream_->Reset(); }
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override {
    ++*asked_;
    return *queued_;
  }
  absl::Status error() const override { return stream_->error(); }

 private:
  const std::unique_ptr<ByteStream> stream_;
  const uint64_t* const queued_;  // Not owned.
  int* const asked_;              // Not owned.
};

class RelayTailTest : public ::testing::Test {
 protected:
  // A relay whose server has sent so much to a client that has half-closed, and has ended too.
  void Carry(size_t bytes) {
    near_ = near_pair_.TakeA();
    far_ = far_pair_.TakeB();
    relay_ = std::make_unique<Relay>(
        &loop_, absl::MakeSpan(scratch_),
        std::make_unique<QueueingStream>(near_pair_.TakeB(), &queued_, &asked_), far_pair_.TakeA(),
        &options_, [this](const RelayResult& result) { done_ = result; });
    near_->ShutdownWrite();
    const std::string sent(bytes, 'x');
    ASSERT_EQ(far_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(sent.data()), bytes))
                  .bytes,
              bytes);
    far_->ShutdownWrite();
    relay_->Start();
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  MemoryStreamPair near_pair_{&loop_}, far_pair_{&loop_};
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(16 * 1024);
  Relay::Options options_;
  uint64_t queued_ = 0;
  int asked_ = 0;
  std::unique_ptr<ByteStream> near_, far_;
  std::unique_ptr<Relay> relay_;
  absl::optional<RelayResult> done_;
};

TEST_F(RelayTailTest, WaitsForAsLongAsAHostTakesSomething) {
  queued_ = 5000;
  Carry(10000);
  EXPECT_FALSE(done_.has_value());
  for (int i = 0; i < 20; ++i) {
    loop_.AdvanceTime(absl::Minutes(9));
    EXPECT_FALSE(done_.has_value());
    --queued_;
  }
  queued_ = 0;
  loop_.AdvanceTime(absl::Seconds(1));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
  EXPECT_EQ(done_->bytes_to_downstream, 10000u);
}

TEST_F(RelayTailTest, IsOverAtOnceWhenAllHasArrived) {
  Carry(10000);
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_F(RelayTailTest, LooksSoonAtFirst) {
  queued_ = 1;
  Carry(10000);
  queued_ = 0;
  loop_.AdvanceTime(absl::Milliseconds(5));
  EXPECT_TRUE(done_.has_value());
}

TEST_F(RelayTailTest, GivesUpAReaderThatTakesNothing) {
  queued_ = 5000;
  Carry(10000);
  loop_.AdvanceTime(absl::Seconds(599));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("not moved on for 10m")));
  EXPECT_EQ(done_->deadline, RelayResult::Deadline::kHalfClose);
}

TEST_F(RelayTailTest, IsNotHeldByIt) {
  queued_ = 5000;
  Carry(10000);
  relay_->Cut(absl::PermissionDeniedError("not any more"));
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::ZeroDuration());
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(RelayTailTest, IsLeftToTheKernelByAProcessThatEnds) {
  queued_ = 5000;
  Carry(10000);
  EXPECT_TRUE(relay_->LeaveToKernel());
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::ZeroDuration());
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_F(RelayTailTest, IsNotLeftToTheKernelWhileADirectionIsOpen) {
  near_ = near_pair_.TakeA();
  far_ = far_pair_.TakeB();
  relay_ = std::make_unique<Relay>(&loop_, absl::MakeSpan(scratch_), near_pair_.TakeB(),
                                   far_pair_.TakeA(), &options_,
                                   [this](const RelayResult& result) { done_ = result; });
  relay_->Start();
  near_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_FALSE(relay_->LeaveToKernel());
  relay_->Abort(absl::CancelledError("drained"));
  EXPECT_FALSE(relay_->LeaveToKernel());
}

TEST_F(RelayTailTest, AsksNobodyAboutAFewBytes) {
  queued_ = 100;
  Carry(1000);
  EXPECT_TRUE(done_.has_value());
  EXPECT_EQ(asked_, 0);
}

}  // namespace
}  // namespace byrnie
