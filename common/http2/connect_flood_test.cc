// What attackers do to HTTP/2 servers, in bytes that no library would send; and what honest peers
// do that looks alike.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/abuse_guard.h"
#include "common/http2/connect_session.h"
#include "common/http2/peer_end.h"
#include "common/http2/peer_fault.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kFrameHeader = 9;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  for (int shift : {16, 8, 0}) frame.push_back(static_cast<char>(payload.size() >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame + payload;
}

constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6,
                  kGoaway = 7, kWindowUpdate = 8, kContinuation = 9;
constexpr uint8_t kEndHeaders = 4, kAck = 1;
// :method CONNECT, :authority a:1. Before them a table of no size, which is never too large
// (RFC 7541 section 4.2).
const char kConnect[] =
    "\x20"
    "\x42\x07"
    "CONNECT"
    "\x41\x03"
    "a:1";

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// A server of ours that reads what its streams carry, and the raw end of its transport.
class ConnectFloodTest : public ::testing::Test,
                         private ConnectSession::Delegate,
                         private ByteStream::Observer {
 protected:
  ConnectFloodTest() : pair_(&loop_) {
    raw_ = pair_.TakeA();
    session_ = ConnectSession::CreateServer(&loop_, pair_.TakeB(), {}, this);
    Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, "") +
         Frame(kSettings, 1, 0, ""));
    Hear();
  }
  // Sends `frame` so often, unless the session ends before; hears meanwhile what is said.
  void Flood(const std::string& frame, size_t count) {
    for (size_t i = 0; i < count && !closed_.has_value(); ++i) {
      Send(frame);
      if (absl::StrContains(log_, "goaway")) break;
    }
    Hear();
  }
  void Send(const std::string& bytes) {
    absl::Span<const uint8_t> rest = Bytes(bytes);
    for (int tries = 0; !rest.empty() && tries < 100; ++tries) {
      const IoResult written = raw_->Write(rest);
      if (written.status == IoStatus::kError) return;
      rest.remove_prefix(written.bytes);
      loop_.RunUntilIdle();
      if (reading_) Hear();
    }
  }
  // Notes the resets and the GOAWAY among what the server has said.
  void Hear() {
    loop_.RunUntilIdle();
    uint8_t buffer[16384];
    IoResult read;
    while ((read = raw_->Read(absl::MakeSpan(buffer))).bytes > 0 &&
           read.status != IoStatus::kError) {
      heard_.append(reinterpret_cast<const char*>(buffer), read.bytes);
      loop_.RunUntilIdle();
    }
    while (heard_.size() >= kFrameHeader && heard_.size() >= kFrameHeader + Number(0, 3)) {
      const uint8_t type = static_cast<uint8_t>(heard_[3]);
      if (type == kReset) {
        absl::StrAppend(&log_, Number(5, 4), ":reset=", Number(kFrameHeader, 4), " ");
      }
      // The first of a drain names no error.
      if (type == kGoaway) absl::StrAppend(&log_, "goaway=", Number(kFrameHeader + 4, 4), " ");
      heard_.erase(0, kFrameHeader + Number(0, 3));
    }
  }
  void ExpectEnded(const std::string& how) {
    EXPECT_THAT(log_, HasSubstr(how));
    loop_.AdvanceTime(absl::Seconds(3));
    ASSERT_TRUE(closed_.has_value());
    EXPECT_THAT(*closed_, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(PeerFaultOf(*closed_), how == "goaway=11" ? PeerFault::kFlood : PeerFault::kProtocol);
  }
  // Without a word to it: the decoder is in the middle of a block.
  void ExpectCutOff() {
    loop_.RunUntilIdle();
    ASSERT_TRUE(closed_.has_value());
    EXPECT_THAT(*closed_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("flooded")));
    EXPECT_EQ(PeerFaultOf(*closed_), PeerFault::kFlood);
  }
  void ExpectAlive() {
    Hear();
    EXPECT_FALSE(closed_.has_value());
    EXPECT_THAT(log_, Not(HasSubstr("goaway")));
  }
  static std::string Connect(uint32_t id) { return Frame(kHeaders, kEndHeaders, id, kConnect); }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> raw_;
  std::unique_ptr<ConnectSession> session_;
  std::vector<std::unique_ptr<ConnectStream>> streams_;
  absl::optional<absl::Status> closed_;
  std::string log_;
  size_t requests_ = 0;
  size_t received_ = 0;
  bool answer_ = true;
  bool reading_ = true;

 private:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    ++requests_;
    if (answer_) stream->Accept();
    stream->SetObserver(this);
    streams_.push_back(std::move(stream));
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status& status) override { closed_ = status; }
  void OnReadable() override {
    uint8_t buffer[4096];
    for (const auto& stream : streams_) {
      IoResult read;
      while ((read = stream->Read(absl::MakeSpan(buffer))).bytes > 0) received_ += read.bytes;
    }
  }
  void OnWritable() override {}
  // Big-endian, from the front of what was heard.
  size_t Number(size_t at, size_t size) const {
    size_t value = 0;
    for (size_t i = at; i < at + size; ++i) value = value << 8 | static_cast<uint8_t>(heard_[i]);
    return value;
  }

  std::string heard_;
};

TEST_F(ConnectFloodTest, EndsAPeerThatPingsWithoutEnd) {
  Flood(Frame(kPing, 0, 0, "12345678"), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, ReadsNothingMoreOfAPeerThatItEnds) {
  Flood(Frame(kPing, 0, 0, "12345678"), 20000);
  ASSERT_THAT(log_, HasSubstr("goaway=11"));
  const uint64_t sent = pair_.bytes_sent(MemoryStreamPair::Side::kA);
  Send(std::string(1 << 20, 'x'));
  // As much as may be under way.
  EXPECT_LE(pair_.bytes_sent(MemoryStreamPair::Side::kA) - sent,
            MemoryStreamPair::Quota().capacity);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, ReadsNothingMoreOfAPeerThatBreaksTheProtocol) {
  Send(Frame(kWindowUpdate, 0, 0, std::string(4, '\0')));
  Hear();
  ASSERT_THAT(log_, HasSubstr("goaway=1"));
  const uint64_t sent = pair_.bytes_sent(MemoryStreamPair::Side::kA);
  Send(std::string(1 << 20, 'x'));
  EXPECT_LE(pair_.bytes_sent(MemoryStreamPair::Side::kA) - sent,
            MemoryStreamPair::Quota().capacity);
  ExpectEnded("goaway=1");
}

TEST_F(ConnectFloodTest, EndsAPeerThatDoesNotReadTheAnswersToItsPings) {
  reading_ = false;
  size_t sent = 0;
  while (sent < 20000 && !closed_.has_value()) {
    Send(Frame(kPing, 0, 0, "12345678"));
    ++sent;
    if (sent % 256 == 0) loop_.AdvanceTime(absl::Seconds(11));
  }
  ASSERT_TRUE(closed_.has_value());
  EXPECT_EQ(PeerFaultOf(*closed_), PeerFault::kFlood);
  EXPECT_LT(sent, 20000u);
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsSettingsWithoutEnd) {
  Flood(Frame(kSettings, 0, 0, std::string("\0\x04\0\0\xff\xff", 6)), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsEmptyDataWithoutEnd) {
  Send(Connect(1));
  Flood(Frame(kData, 0, 1, ""), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsPaddingAloneWithoutEnd) {
  Send(Connect(1));
  constexpr uint8_t kPadded = 8;
  Flood(Frame(kData, kPadded, 1, std::string("\x03\0\0\0", 4)), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsPriorityWithoutEnd) {
  Flood(Frame(kPriority, 0, 1, std::string("\0\0\0\0\x10", 5)), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatAnswersPingsNobodySent) {
  Flood(Frame(kPing, kAck, 0, "12345678"), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsFramesOfUnknownTypesWithoutEnd) {
  Flood(Frame(0x42, 0, 0, ""), 20000);
  ExpectEnded("goaway=11");
  EXPECT_THAT(closed_->message(), HasSubstr("frames that carry nothing"));
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsLargeFramesOfUnknownTypes) {
  // A second of 100 MB/s.
  Flood(Frame(0x42, 0, 0, std::string(16384, 'x')), 6000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, EndsAPeerThatSaysGoawayWithoutEnd) {
  Flood(Frame(kGoaway, 0, 0, std::string(8, '\0')), 20000);
  ExpectEnded("goaway=11");
}

// To the session, to a stream, and to one that is over, of which nghttp2 says nothing.
class WindowFloodTest : public ConnectFloodTest, public ::testing::WithParamInterface<uint32_t> {};

INSTANTIATE_TEST_SUITE_P(Streams, WindowFloodTest, ::testing::Values(0, 1, 3));

TEST_P(WindowFloodTest, EndsAPeerThatGivesWindowForNothing) {
  Send(Connect(1) + Connect(3) + Frame(kReset, 0, 3, std::string("\0\0\0\x08", 4)));
  Flood(Frame(kWindowUpdate, 0, GetParam(), std::string("\0\0\0\1", 4)), 20000);
  ExpectEnded("goaway=11");
  EXPECT_THAT(closed_->message(), HasSubstr("WINDOW_UPDATE"));
}

TEST_F(ConnectFloodTest, EndsAPeerThatSendsHeadersForStreamsThatAreOver) {
  Send(Connect(1) + Frame(kReset, 0, 1, std::string("\0\0\0\x08", 4)));
  Flood(Frame(kHeaders, kEndHeaders, 1, "\x88"), 20000);
  ExpectEnded("goaway=11");
}

TEST_F(ConnectFloodTest, GivesAPeerThatTakesByteAfterByteAllTheFramesItNeeds) {
  // A window of one byte, which is given back on the stream and on the session.
  Send(Frame(kSettings, 0, 0, std::string("\0\x04\0\0\0\1", 6)) + Connect(1));
  Hear();
  const std::string said(30000, 'y');
  ASSERT_EQ(streams_[0]->Write(Bytes(said)).bytes, said.size());
  const std::string one("\0\0\0\1", 4);
  for (size_t i = 0; i < said.size(); ++i) {
    Send(Frame(kWindowUpdate, 0, 1, one) + Frame(kWindowUpdate, 0, 0, one));
  }
  ExpectAlive();
  EXPECT_TRUE(streams_[0]->Flushed());
}

TEST_F(ConnectFloodTest, GivesAPeerThatReadsInSmallPiecesAllTheFramesItNeeds) {
  // Whole frames, each read 256 bytes at a time, both windows given back for each.
  Send(Connect(1));
  Hear();
  const std::string said(8 << 20, 'y');
  const std::string piece("\0\0\1\0", 4);
  size_t written = 0, given = 0;
  while (given < said.size() && !closed_.has_value()) {
    written += streams_[0]->Write(Bytes(said).subspan(written)).bytes;
    for (int i = 0; i < 64; ++i, given += 256) {
      Send(Frame(kWindowUpdate, 0, 1, piece) + Frame(kWindowUpdate, 0, 0, piece));
    }
    Hear();
  }
  ExpectAlive();
  EXPECT_EQ(written, said.size());
}

TEST_F(ConnectFloodTest, TakesWhatWasUnderWayToAStreamThatIsReset) {
  // Small frames, as many as a window holds.
  Send(Connect(1));
  Hear();
  streams_.clear();
  std::string under_way;
  for (int i = 0; i < 16384; ++i) under_way += Frame(kData, 0, 1, "x");
  Send(under_way);
  ExpectAlive();
}

TEST_F(ConnectFloodTest, EndsAPeerWhoseHeadersNeverEnd) {
  Send(Frame(kHeaders, 0, 1, kConnect));
  size_t sent = 0;
  while (sent < 100000 && !closed_.has_value()) {
    Send(Frame(kContinuation, 0, 1, ""));
    if (++sent % 100 == 0) loop_.AdvanceTime(absl::Seconds(3));
  }
  ASSERT_TRUE(closed_.has_value());
  EXPECT_LT(sent, 1000u);
  EXPECT_EQ(requests_, 0u);
}

// A byte of a block may name a field of the table, which costs as much as one that is sent.
TEST_F(ConnectFloodTest, EndsAPeerWhoseHeadersComeToMoreThanTheyAre) {
  const std::string fields(16000, '\xb2');  // "range" of the static table, again and again.
  Send(Frame(kHeaders, 0, 1, kConnect) + Frame(kContinuation, 0, 1, fields));
  ExpectCutOff();
  EXPECT_EQ(requests_, 0u);
}

TEST_F(ConnectFloodTest, AnswersHeadersThatAreALittleTooLarge) {
  Send(Frame(kHeaders, 0, 1, kConnect) +
       Frame(kContinuation, kEndHeaders, 1, std::string(1000, '\xb2')));
  ExpectAlive();
  EXPECT_EQ(requests_, 0u);
}

TEST_F(ConnectFloodTest, EndsAPeerThatOpensAndResetsWithoutEnd) {
  answer_ = false;
  const std::string cancel("\0\0\0\x08", 4);
  for (uint32_t id = 1; id < 20000 && !closed_.has_value(); id += 2) {
    Send(Connect(id) + Frame(kReset, 0, id, cancel));
    if (absl::StrContains(log_, "goaway")) break;
  }
  ExpectEnded("goaway=11");
  EXPECT_LE(requests_, 2 * AbuseGuard::kLimit);
}

// The protocol lets a receiver end a stream for it where it is about a stream (RFC 9113 section
// 6.9), or the session (section 5.4.1), which is what nghttp2 does: no honest peer sends it.
TEST_F(ConnectFloodTest, AWindowUpdateOfNothingEndsTheSession) {
  Send(Connect(1));
  Send(Frame(kWindowUpdate, 0, 1, std::string(4, '\0')));
  Hear();
  ExpectEnded("goaway=1");
}

TEST_F(ConnectFloodTest, AWindowThatOverflowsCostsTheStreamOrTheSession) {
  const std::string most("\x7f\xff\xff\xff", 4);
  Send(Connect(1));
  Send(Frame(kWindowUpdate, 0, 1, most));
  Hear();
  EXPECT_THAT(log_, HasSubstr("1:reset=3"));
  Send(Connect(3));
  ExpectAlive();
  Send(Frame(kWindowUpdate, 0, 0, most));
  Hear();
  ExpectEnded("goaway=3");
}

TEST_F(ConnectFloodTest, TakesAClientWhoseHeaderTableIsOfTheUsualSize) {
  // Without the change of size that a smaller table of ours would demand.
  for (uint32_t id : {1, 3, 5}) Send(Frame(kHeaders, kEndHeaders, id, kConnect + 1));
  ExpectAlive();
  EXPECT_EQ(requests_, 3u);
}

TEST_F(ConnectFloodTest, CarriesTinyFramesForAsLongAsSomeoneSendsThem) {
  Send(Connect(1));
  Hear();
  constexpr size_t kBytes = 200000;
  for (size_t i = 0; i < kBytes; ++i) Send(Frame(kData, 0, 1, "x"));
  ExpectAlive();
  EXPECT_EQ(received_, kBytes);
}

TEST_F(ConnectFloodTest, LetsAPeerPingAndChangeSettingsAtAnHonestRate) {
  Send(Connect(1));
  for (int minute = 0; minute < 10; ++minute) {
    Flood(Frame(kPing, 0, 0, "12345678"), 500);
    Flood(Frame(kSettings, 0, 0, ""), 10);
    Flood(Frame(kData, 0, 1, ""), 100);
    loop_.AdvanceTime(absl::Seconds(11));
    Hear();
  }
  ExpectAlive();
}

// Our client, and a peer that ends the session with an error.
class ConnectClientGoawayTest : public ::testing::Test, private ConnectSession::Delegate {
 protected:
  struct Answer {
    std::unique_ptr<ConnectStream> stream;
    absl::Status status = absl::UnknownError("none yet");
    int http_status = -1;
  };

  ConnectClientGoawayTest() : pair_(&loop_) {
    raw_ = pair_.TakeA();
    session_ = ConnectSession::CreateClient(&loop_, pair_.TakeB(), {}, this);
    Say(Frame(kSettings, 0, 0, ""));
  }
  std::unique_ptr<Answer> Open() {
    auto answer = std::make_unique<Answer>();
    auto stream = session_->OpenStream(
        {"10.0.0.1:80", {}},
        [raw = answer.get()](absl::Status status, int http_status, const HeaderList&) {
          raw->status = status;
          raw->http_status = http_status;
        });
    EXPECT_THAT(stream, IsOk());
    answer->stream = *std::move(stream);
    loop_.RunUntilIdle();
    return answer;
  }
  void Say(const std::string& bytes) {
    raw_->Write(Bytes(bytes));
    loop_.RunUntilIdle();
  }

  void Flood(const std::string& frame) {
    for (int i = 0; i < 6000; ++i) Say(frame);
    loop_.AdvanceTime(absl::Seconds(3));
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> raw_;
  std::unique_ptr<ConnectSession> session_;
  int goaways_ = 0;
  bool closed_ = false;

 private:
  void OnConnect(std::unique_ptr<ConnectStream>, ConnectRequest) override {}
  void OnGoaway() override { ++goaways_; }
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override { closed_ = true; }
};

TEST_F(ConnectClientGoawayTest, LeavesTheStreamsItNamesAndReturnsTheOthersAsNotProcessed) {
  const std::unique_ptr<Answer> first = Open();
  const std::unique_ptr<Answer> second = Open();
  Say(Frame(kHeaders, kEndHeaders, 1, "\x88"));
  EXPECT_EQ(first->http_status, 200);
  // The last stream is 1, the error INTERNAL_ERROR.
  Say(Frame(kGoaway, 0, 0, std::string("\0\0\0\x01\0\0\0\x02", 8)));
  EXPECT_EQ(goaways_, 1);
  EXPECT_THAT(second->status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(second->http_status, 0);
  EXPECT_FALSE(session_->CanOpenStream());
  Say(Frame(kData, 0, 1, "still here"));
  uint8_t buffer[64];
  EXPECT_EQ(first->stream->Read(absl::MakeSpan(buffer)).bytes, 10u);
  EXPECT_FALSE(closed_);
  first->stream->ShutdownWrite();
  Say(Frame(kData, 1, 1, "."));
  loop_.AdvanceTime(absl::Seconds(3));
  EXPECT_TRUE(closed_);
}

// What a hostile server may do to our client.
TEST_F(ConnectClientGoawayTest, EndsAServerThatAnswersPingsNobodySent) {
  Flood(Frame(kPing, kAck, 0, "12345678"));
  EXPECT_TRUE(closed_);
}

TEST_F(ConnectClientGoawayTest, EndsAServerThatGivesWindowForNothing) {
  const std::unique_ptr<Answer> open = Open();
  Flood(Frame(kWindowUpdate, 0, 1, std::string("\0\0\0\1", 4)));
  EXPECT_TRUE(closed_);
}

TEST_F(ConnectClientGoawayTest, EndsAServerWhoseInformationNeverEnds) {
  const std::unique_ptr<Answer> open = Open();
  // :status 103.
  Flood(Frame(kHeaders, kEndHeaders, 1,
              "\x08\x03"
              "103"));
  EXPECT_TRUE(closed_);
}

TEST_F(ConnectClientGoawayTest, TellsTheStreamsForWhatThePeerEndedTheSession) {
  const std::unique_ptr<Answer> open = Open();
  Say(Frame(kHeaders, kEndHeaders, 1, "\x88"));
  // ENHANCE_YOUR_CALM, and the end.
  Say(Frame(kGoaway, 0, 0, std::string("\0\0\0\1\0\0\0\x0b", 8)));
  EXPECT_THAT(open->stream->error(), IsOk()) << "it goes on until the peer ends it";
  raw_->ShutdownWrite();
  loop_.RunUntilIdle();
  const absl::optional<PeerEnd> end = PeerEndOf(open->stream->error());
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->of, PeerEnd::Of::kSession);
  EXPECT_EQ(end->code, 0xbu);
}

TEST_F(ConnectClientGoawayTest, TakesInformationBeforeTheAnswer) {
  const std::unique_ptr<Answer> open = Open();
  for (int i = 0; i < 10; ++i)
    Say(Frame(kHeaders, kEndHeaders, 1,
              "\x08\x03"
              "103"));
  Say(Frame(kHeaders, kEndHeaders, 1, "\x88"));
  EXPECT_EQ(open->http_status, 200);
}

TEST_F(ConnectClientGoawayTest, ARefusedStreamWasNotProcessedAndCostsNoOther) {
  const std::unique_ptr<Answer> first = Open();
  const std::unique_ptr<Answer> second = Open();
  Say(Frame(kReset, 0, 1, std::string("\0\0\0\x07", 4)));
  EXPECT_THAT(first->status, StatusIs(absl::StatusCode::kAborted));
  Say(Frame(kHeaders, kEndHeaders, 3, "\x88"));
  EXPECT_EQ(second->http_status, 200);
  EXPECT_TRUE(session_->CanOpenStream());
}

}  // namespace
}  // namespace byrnie
