#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/http2/testing/http2_frames.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
std::string LimitOf(char streams) {
  return Http2Frame(kHttp2Settings, 0, 0, std::string("\0\x03\0\0\0", 5) + streams);
}

// Requests that were asked for when the peer's limit came and lowered it: nghttp2 holds them back.
// The peer is the test.
class HeldRequestsTest : public ::testing::Test, private ConnectSession::Delegate {
 protected:
  struct Asked {
    std::unique_ptr<ConnectStream> stream;
    absl::Status status = absl::UnknownError("none yet");
    bool answered = false;
  };

  HeldRequestsTest() : pair_(&loop_) {
    peer_ = pair_.TakeA();
    session_ = ConnectSession::CreateClient(&loop_, pair_.TakeB(), {}, this);
    Say(Http2ServerBeginning());
    loop_.RunUntilIdle();
  }

  std::unique_ptr<Asked> Ask() {
    auto asked = std::make_unique<Asked>();
    auto stream = session_->OpenStream(
        {"10.0.0.1:80", {}}, [raw = asked.get()](absl::Status status, int, const HeaderList&) {
          raw->status = std::move(status);
          raw->answered = true;
        });
    EXPECT_THAT(stream, IsOk());
    if (stream.ok()) asked->stream = *std::move(stream);
    return asked;
  }
  void Say(const std::string& bytes) {
    peer_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
  // Two that are open, and four that were asked for in the turn in which the limit of two came.
  void HoldFour() {
    for (char id : {1, 3}) {
      open_.push_back(Ask());
      loop_.RunUntilIdle();
      Say(Http2Frame(kHttp2Headers, kHttp2EndHeaders, id, "\x88"));
    }
    loop_.RunUntilIdle();
    ASSERT_THAT(open_[1]->status, IsOk());
    Say(LimitOf(2));
    for (int i = 0; i < 4; ++i) held_.push_back(Ask());
    loop_.RunUntilIdle();
  }
  void EndSecond() {
    open_[1]->stream->ShutdownWrite();
    Say(Http2Frame(kHttp2Data, kHttp2EndStream, 3, ""));
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> peer_;
  std::unique_ptr<ConnectSession> session_;
  std::vector<std::unique_ptr<Asked>> open_, held_;
  bool closed_ = false;

 private:
  void OnConnect(std::unique_ptr<ConnectStream>, ConnectRequest) override {}
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override { closed_ = true; }
};

TEST_F(HeldRequestsTest, AreReturnedAsNotProcessed) {
  HoldFour();
  for (const auto& asked : held_) {
    EXPECT_TRUE(asked->answered);
    EXPECT_THAT(asked->status, StatusIs(absl::StatusCode::kAborted));
  }
  EXPECT_EQ(session_->open_streams(), 2u);
  EXPECT_FALSE(session_->CanOpenStream());
}

TEST_F(HeldRequestsTest, AreCountedOffOnce) {
  HoldFour();
  held_.clear();
  EndSecond();
  EXPECT_EQ(session_->open_streams(), 1u);
  EXPECT_TRUE(session_->CanOpenStream());
}

TEST_F(HeldRequestsTest, EndNoSessionThatHasAStream) {
  HoldFour();
  EndSecond();
  session_->Drain();
  loop_.RunUntilIdle();
  Say(Http2Frame(kHttp2Data, 0, 1, "still here"));
  loop_.RunUntilIdle();
  uint8_t buffer[64];
  EXPECT_EQ(open_[0]->stream->Read(absl::MakeSpan(buffer)).bytes, 10u);
  EXPECT_FALSE(closed_);
  open_[0]->stream->ShutdownWrite();
  Say(Http2Frame(kHttp2Data, kHttp2EndStream, 1, ""));
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(3));
  EXPECT_TRUE(closed_);
}

// Whoever had one may have given it up before the limit came.
TEST_F(HeldRequestsTest, MayBeGivenUpMeanwhile) {
  HoldFour();
  held_.clear();
  loop_.RunUntilIdle();
  Say(LimitOf(100));
  loop_.RunUntilIdle();
  EXPECT_EQ(session_->open_streams(), 2u);
  const std::unique_ptr<Asked> third = Ask();
  loop_.RunUntilIdle();
  EXPECT_EQ(session_->open_streams(), 3u);
  EndSecond();
  EXPECT_EQ(session_->open_streams(), 2u);
}

}  // namespace
}  // namespace byrnie
