// What a reader sees when the peer ends its direction of a stream and then resets it, in bytes and
// in the order the peer chooses.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  for (int shift : {16, 8, 0}) frame.push_back(static_cast<char>(payload.size() >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame + payload;
}

std::string Data(const std::string& payload) { return Frame(0, 0, 1, payload); }
std::string End() { return Frame(0, 1, 1, ""); }
std::string ResetWith(char code) { return Frame(3, 0, 1, std::string(3, '\0') + code); }

constexpr char kNoError = 0, kCancel = 8, kConnectError = 10;

// A server's session with one open stream, and the raw end of its transport.
class StreamEndTest : public ::testing::Test,
                      private ConnectSession::Delegate,
                      private ByteStream::Observer {
 protected:
  StreamEndTest() : pair_(&loop_), raw_(pair_.TakeA()) {
    session_ = ConnectSession::CreateServer(&loop_, pair_.TakeB(), {}, this);
    // :method CONNECT, :authority a:1; the first byte agrees to the server's header table.
    Say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, "") + Frame(4, 1, 0, "") +
        Frame(1, 4, 1,
              "\x20"
              "\x42\x07"
              "CONNECT"
              "\x41\x03"
              "a:1"));
  }
  void Say(const std::string& bytes) {
    const IoResult written = raw_->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    ASSERT_EQ(written.bytes, bytes.size());
    loop_.RunUntilIdle();
  }
  // Everything the reader gets, then how it ended: "bytes|eof".
  std::string ReadAll() {
    uint8_t buffer[64];
    std::string seen;
    for (;;) {
      const IoResult read = stream_->Read(absl::MakeSpan(buffer));
      if (read.status == IoStatus::kEof) return seen + "|eof";
      if (read.status == IoStatus::kError) return seen + "|error";
      if (read.bytes == 0) return seen + "|open";
      seen.append(reinterpret_cast<const char*>(buffer), read.bytes);
    }
  }
  bool WriteFails() {
    return stream_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>("x"), 1)).status ==
           IoStatus::kError;
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> raw_;
  std::unique_ptr<ConnectSession> session_;
  std::unique_ptr<ConnectStream> stream_;
  int readable_ = 0;
  int writable_ = 0;

 private:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    stream_ = std::move(stream);
    stream_->Accept();
    stream_->SetObserver(this);
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}
  void OnReadable() override { ++readable_; }
  void OnWritable() override { ++writable_; }
};

TEST_F(StreamEndTest, AnEndIsAnEndWhileTheOtherDirectionGoesOn) {
  Say(Data("last words") + End());
  EXPECT_EQ(ReadAll(), "last words|eof");
  EXPECT_FALSE(WriteFails());
  EXPECT_THAT(stream_->error(), IsOk());
}

TEST_F(StreamEndTest, AResetThatOvertakesAnUnreadEndIsAReset) {
  Say(Data("last words") + End() + ResetWith(kConnectError));
  EXPECT_EQ(ReadAll(), "last words|error");
  EXPECT_TRUE(WriteFails());
  EXPECT_THAT(stream_->error(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CONNECT_ERROR")));
}

TEST_F(StreamEndTest, AResetAfterAnEndThatWasReadBreaksTheOtherDirection) {
  Say(Data("last words") + End());
  EXPECT_EQ(ReadAll(), "last words|eof");
  const int writable = writable_;
  Say(ResetWith(kCancel));
  EXPECT_GT(writable_, writable) << "nobody was told";
  EXPECT_TRUE(WriteFails());
  EXPECT_THAT(stream_->error(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CANCEL")));
}

// RFC 9113 section 8.1: the peer has said everything and wants to hear no more. What it said is
// whole.
TEST_F(StreamEndTest, AnEndFollowedByAResetWithoutErrorStaysAnEnd) {
  Say(Data("last words") + End() + ResetWith(kNoError));
  EXPECT_EQ(ReadAll(), "last words|eof");
  EXPECT_EQ(ReadAll(), "|eof");
  EXPECT_TRUE(WriteFails());
  EXPECT_THAT(stream_->error(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("NO_ERROR")));
}

TEST_F(StreamEndTest, AResetWithoutErrorAfterAnEndThatWasReadStopsTheWriter) {
  Say(Data("last words") + End());
  EXPECT_EQ(ReadAll(), "last words|eof");
  const int writable = writable_;
  Say(ResetWith(kNoError));
  EXPECT_EQ(ReadAll(), "|eof");
  EXPECT_GT(writable_, writable);
  EXPECT_TRUE(WriteFails());
}

// Without the end it may be that more was to come.
TEST_F(StreamEndTest, AResetWithoutErrorAndWithoutAnEndIsAReset) {
  Say(Data("last words") + ResetWith(kNoError));
  EXPECT_EQ(ReadAll(), "last words|error");
  EXPECT_TRUE(WriteFails());
}

TEST_F(StreamEndTest, AnEndStaysOneWhenTheSessionGoesAfterAResetWithoutError) {
  Say(Data("last words") + End() + ResetWith(kNoError));
  session_.reset();
  EXPECT_EQ(ReadAll(), "last words|eof");
}

}  // namespace
}  // namespace byrnie
