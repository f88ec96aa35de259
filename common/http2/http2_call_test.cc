#include "common/http2/http2_call.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/testing/http2_frames.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;

std::string Head(const HeaderList& fields, uint8_t flags = kHttp2EndHeaders) {
  return Http2Frame(kHttp2Headers, flags, 1, Http2Fields(fields));
}
std::string Trailers(const HeaderList& fields) {
  return Head(fields, kHttp2EndHeaders | kHttp2EndStream);
}
std::string Body(absl::string_view bytes, uint8_t flags = 0) {
  return Http2Frame(kHttp2Data, flags, 1, bytes);
}

// The server: says what the test wants, and remembers.
class Server final : public ByteStream::Observer {
 public:
  explicit Server(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {
    stream_->SetObserver(this);
  }
  ~Server() override {
    if (stream_ != nullptr) stream_->SetObserver(nullptr);
  }

  void Say(const std::string& bytes) {
    to_say_ += bytes;
    OnWritable();
  }
  // After all that is to be said.
  void End() {
    ending_ = true;
    OnWritable();
  }
  void Reset() {
    stream_->SetObserver(nullptr);
    stream_->Reset();
    stream_.reset();
  }

  void OnReadable() override {
    uint8_t buffer[4096];
    IoResult result;
    do {
      result = stream_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
        ended = result.status == IoStatus::kEof ? "in order" : "reset";
        return;
      }
      heard.append(reinterpret_cast<const char*>(buffer), result.bytes);
    } while (result.status == IoStatus::kOk);
  }
  void OnWritable() override {
    while (!to_say_.empty()) {
      const IoResult result = stream_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(to_say_.data()), to_say_.size()));
      to_say_.erase(0, result.bytes);
      if (result.status == IoStatus::kError) to_say_.clear();
      if (result.status == IoStatus::kWouldBlock) return;
    }
    if (ending_) stream_->ShutdownWrite();
  }

  std::string heard, ended;

 private:
  std::unique_ptr<ByteStream> stream_;
  std::string to_say_;
  bool ending_ = false;
};

class Http2CallTest : public ::testing::Test {
 protected:
  void Call(const MemoryStreamPair::Quota& quota = MemoryStreamPair::Quota()) {
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, quota, quota);
    server_ = std::make_unique<Server>(pair_->TakeB());
    answer_.reset();
    call_ = std::make_unique<Http2Call>(&loop_, pair_->TakeA(), request_,
                                        [this](absl::StatusOr<Http2Call::Answer> answer) {
                                          EXPECT_FALSE(answer_.has_value()) << "told twice";
                                          answer_ = std::move(answer);
                                        });
    EXPECT_FALSE(answer_.has_value()) << "told inside the call";
    loop_.RunUntilIdle();
  }
  // Of a call to a server that says this, and no more.
  absl::StatusOr<Http2Call::Answer> After(const std::string& said) {
    Call();
    server_->Say(said);
    loop_.RunUntilIdle();
    return answer_.has_value() ? *answer_ : absl::DeadlineExceededError("still waiting");
  }
  absl::StatusOr<Http2Call::Answer> AfterBeginning(const std::string& said) {
    return After(Http2ServerBeginning() + said);
  }

  ManualEventLoop loop_;
  Http2Call::Request request_ = {"10.0.0.7:90", "/a.B/C", {{"te", "trailers"}}, "question"};
  std::unique_ptr<MemoryStreamPair> pair_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Http2Call> call_;
  absl::optional<absl::StatusOr<Http2Call::Answer>> answer_;
};

TEST_F(Http2CallTest, AsksAndGivesTheWholeAnswer) {
  const absl::StatusOr<Http2Call::Answer> answer =
      AfterBeginning(Head({{":status", "200"}, {"x-head", "1"}}) + Body("ans") + Body("wer") +
                     Trailers({{"x-trailer", "2"}}));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "answer");
  EXPECT_THAT(answer->headers, ElementsAre(Pair("x-head", "1"), Pair("x-trailer", "2")));
  EXPECT_EQ(answer->Header("x-trailer"), "2");
  EXPECT_EQ(answer->Header("x-none"), "");

  std::string body;
  HeaderList fields;
  bool whole = false;
  for (const ReadHttp2Frame& frame : ReadHttp2Frames(server_->heard)) {
    if (frame.type == kHttp2Headers) fields = frame.fields;
    if (frame.type == kHttp2Data) body += frame.payload;
    if (frame.stream == 1) whole = (frame.flags & kHttp2EndStream) != 0;
  }
  EXPECT_THAT(fields, UnorderedElementsAre(Pair(":method", "POST"), Pair(":scheme", "http"),
                                           Pair(":authority", "10.0.0.7:90"),
                                           Pair(":path", "/a.B/C"), Pair("te", "trailers")));
  EXPECT_EQ(body, "question");
  EXPECT_TRUE(whole);
}

TEST_F(Http2CallTest, EndsItsConnectionInOrder) {
  ASSERT_THAT(AfterBeginning(GrpcAnswer("x", 0)), IsOk());
  EXPECT_EQ(server_->ended, "in order");
  EXPECT_EQ(ReadHttp2Frames(server_->heard).back().type, kHttp2Goaway);
}

TEST_F(Http2CallTest, WorksOneByteAtATime) {
  Call(MemoryStreamPair::Quota::OneByte());
  server_->Say(Http2ServerBeginning() + GrpcAnswer(std::string(300, 'a'), 0));
  loop_.RunUntilIdle();
  ASSERT_TRUE(answer_.has_value());
  ASSERT_THAT(*answer_, IsOk());
  EXPECT_EQ((*answer_)->body, std::string(300, 'a'));
  EXPECT_EQ((*answer_)->Header("grpc-status"), "0");
}

TEST_F(Http2CallTest, SendsALongQuestionAsTheServerTakesIt) {
  request_.body = std::string(200 * 1000, 'q');
  Call();
  // RFC 9113 section 6.9.2: what is sent before the server gives more.
  EXPECT_LT(server_->heard.size(), 70 * 1000u);
  server_->Say(Http2ServerBeginning());
  for (const uint8_t stream : {0, 1}) {
    server_->Say(Http2Frame(8, 0, stream, std::string("\0\x10\0\0", 4)));
  }
  loop_.RunUntilIdle();
  size_t heard = 0;
  for (const ReadHttp2Frame& frame : ReadHttp2Frames(server_->heard)) {
    if (frame.type == kHttp2Data) heard += frame.payload.size();
  }
  EXPECT_EQ(heard, request_.body.size());
}

TEST_F(Http2CallTest, PassesOverInterimHeads) {
  const absl::StatusOr<Http2Call::Answer> answer = AfterBeginning(
      Head({{":status", "103"}}) + Head({{":status", "200"}}) + Body("x", kHttp2EndStream));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->status, 200);
}

TEST_F(Http2CallTest, TakesAnAnswerThatIsTrailersAlone) {
  const absl::StatusOr<Http2Call::Answer> answer =
      AfterBeginning(Trailers({{":status", "200"}, {"grpc-status", "12"}}));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->Header("grpc-status"), "12");
}

TEST_F(Http2CallTest, SaysAtOnceThatAServerSpeaksNoHttp2) {
  const std::string old = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  for (const std::string& said : {old, std::string("SSH-2.0-x\r\n"), std::string(100, '\0'),
                                  Http2Frame(kHttp2Data, 0, 1, "x")}) {
    EXPECT_THAT(After(said), StatusIs(kInvalid, HasSubstr("no HTTP/2"))) << said;
  }
  // And after a good beginning: a head of a stream that nobody opened, one without a status.
  EXPECT_THAT(AfterBeginning(Http2Frame(kHttp2Headers, kHttp2EndHeaders, 2,
                                        Http2Fields({{":status", "200"}}))),
              StatusIs(kInvalid, HasSubstr("no HTTP/2")));
  EXPECT_THAT(AfterBeginning(Trailers({{"x", "y"}})),
              StatusIs(kUnavailable, HasSubstr("PROTOCOL_ERROR")));
}

TEST_F(Http2CallTest, SaysHowItEndedWithoutAnAnswer) {
  const std::string head = Head({{":status", "200"}});
  const auto reset = [](char code) {
    return Http2Frame(kHttp2ResetStream, 0, 1, std::string("\0\0\0", 3) + code);
  };
  EXPECT_THAT(AfterBeginning(head + reset(2)), StatusIs(kUnavailable, HasSubstr("INTERNAL_ERROR")));
  EXPECT_THAT(AfterBeginning(reset(0)), StatusIs(kUnavailable, HasSubstr("without an answer")));
  EXPECT_THAT(AfterBeginning(Http2Frame(kHttp2Goaway, 0, 0, std::string(8, '\0'))),
              StatusIs(kUnavailable, HasSubstr("REFUSED_STREAM")));
  // Whoever has said it all need not hear it all.
  EXPECT_THAT(AfterBeginning(head + Body("x", kHttp2EndStream) + reset(0)), IsOk());

  Call();
  server_->Say(Http2ServerBeginning() + head + Body("half"));
  server_->End();
  loop_.RunUntilIdle();
  EXPECT_THAT(*answer_, StatusIs(kUnavailable, HasSubstr("ended the connection")));

  Call();
  server_->Say(Http2ServerBeginning() + head);
  loop_.RunUntilIdle();
  server_->Reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(*answer_, StatusIs(kUnavailable, HasSubstr("the connection broke")));
}

TEST_F(Http2CallTest, TakesNoMoreThanItsLimits) {
  const std::string head = Head({{":status", "200"}});
  std::string body;
  for (int i = 0; i < 16; ++i) body += Body(std::string(1024, 'b'));
  ASSERT_THAT(AfterBeginning(head + body + Body("", kHttp2EndStream)), IsOk());
  EXPECT_EQ((*answer_)->body.size(), Http2Call::kMaxBody);
  EXPECT_THAT(AfterBeginning(head + body + Body("b")),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too long")));
  HeaderList fields = {{":status", "200"}};
  for (int i = 0; i < 150; ++i) fields.emplace_back(absl::StrCat("x", i), std::string(100, 'v'));
  EXPECT_THAT(AfterBeginning(Trailers(fields)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too long")));
}

TEST_F(Http2CallTest, WaitsWhileTheServerIsSilent) {
  EXPECT_THAT(AfterBeginning(""), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(AfterBeginning(Head({{":status", "200"}})),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  // And is given up by its owner.
  call_.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->ended, "reset");
}

}  // namespace
}  // namespace byrnie
