#include "common/http/http_client_connection.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using Response = HttpClientConnection::Response;

// The server's end, which says what the test wants; both ends under the quota of the parameter.
class HttpClientConnectionTest : public ::testing::TestWithParam<bool>,
                                 public ByteStream::Observer {
 protected:
  HttpClientConnectionTest() {
    const MemoryStreamPair::Quota quota =
        GetParam() ? MemoryStreamPair::Quota::OneByte() : MemoryStreamPair::Quota();
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, quota, quota);
    server_ = pair_->TakeB();
    server_->SetObserver(this);
    client_ = std::make_unique<HttpClientConnection>(&loop_, pair_->TakeA());
    loop_.RunUntilIdle();
  }
  ~HttpClientConnectionTest() override {
    client_.reset();
    server_->SetObserver(nullptr);
  }

  void OnReadable() override {
    uint8_t buffer[4096];
    IoResult result;
    do {
      result = server_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return;
      heard_.append(reinterpret_cast<const char*>(buffer), result.bytes);
    } while (result.status == IoStatus::kOk);
  }
  void OnWritable() override {
    while (!to_say_.empty()) {
      const IoResult result = server_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(to_say_.data()), to_say_.size()));
      if (result.status == IoStatus::kError) return;
      to_say_.erase(0, result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void Say(absl::string_view text) {
    absl::StrAppend(&to_say_, text);
    OnWritable();
    loop_.RunUntilIdle();
  }
  void Ask(HttpClientConnection::Limits limits = {}, bool stream = false) {
    HttpClientConnection::Handlers handlers;
    if (stream)
      handlers.on_data = [this](absl::string_view bytes) { absl::StrAppend(&streamed_, bytes); };
    handlers.on_done = [this](absl::StatusOr<Response> response) {
      done_ = std::move(response);
      ++answers_;
    };
    done_.reset();
    client_->Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", limits, std::move(handlers));
    EXPECT_FALSE(done_.has_value()) << "the handler ran inside Send";
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  std::unique_ptr<MemoryStreamPair> pair_;
  std::unique_ptr<ByteStream> server_;
  std::unique_ptr<HttpClientConnection> client_;
  std::string heard_, to_say_, streamed_;
  absl::optional<absl::StatusOr<Response>> done_;
  int answers_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Quotas, HttpClientConnectionTest, ::testing::Bool());

TEST_P(HttpClientConnectionTest, AsksAgainOnTheSameConnection) {
  Ask();
  EXPECT_EQ(heard_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  Say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
  ASSERT_TRUE(done_.has_value());
  ASSERT_THAT(*done_, IsOk());
  EXPECT_EQ((*done_)->body, "one");
  ASSERT_TRUE(client_->idle());
  Ask();
  Say("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\ntwo");
  ASSERT_THAT(*done_, IsOk());
  EXPECT_EQ((*done_)->head.status, 404);
  EXPECT_EQ((*done_)->body, "two");
}

TEST_P(HttpClientConnectionTest, GivesOnABodyAsItComes) {
  Ask({}, /*stream=*/true);
  Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
  EXPECT_EQ(streamed_, "one\n");
  EXPECT_FALSE(done_.has_value());
  Say("4\r\ntwo\n\r\n0\r\n\r\n");
  EXPECT_EQ(streamed_, "one\ntwo\n");
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, IsOk());
}

TEST_P(HttpClientConnectionTest, KeepsTheBodyOfAnError) {
  Ask({}, /*stream=*/true);
  Say("HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone");
  ASSERT_TRUE(done_.has_value());
  EXPECT_EQ((*done_)->body, "gone");
  EXPECT_EQ(streamed_, "");
}

TEST_P(HttpClientConnectionTest, SaysThatAStreamBroke) {
  Ask({}, /*stream=*/true);
  Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
  server_->ShutdownWrite();
  loop_.RunUntilIdle();
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(client_->idle());
}

TEST_P(HttpClientConnectionTest, IsDoneWhenTheServerClosesIt) {
  server_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_FALSE(client_->idle());
}

TEST_P(HttpClientConnectionTest, IsDoneWhenTheServerSpeaksUnasked) {
  Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(client_->idle());
}

TEST_P(HttpClientConnectionTest, TakesNoOtherRequestAfterBytesThatBelongToNone) {
  Ask();
  Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n");
  EXPECT_THAT(*done_, IsOk());
  EXPECT_FALSE(client_->idle());
}

TEST_P(HttpClientConnectionTest, WaitsOnlySoLong) {
  HttpClientConnection::Limits limits;
  limits.head_timeout = absl::Seconds(5);
  Ask(limits);
  loop_.AdvanceTime(absl::Seconds(6));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("did not answer")));
  EXPECT_FALSE(client_->has_response());
}

TEST_P(HttpClientConnectionTest, EndsAStreamThatIsTooLong) {
  HttpClientConnection::Limits limits;
  limits.timeout = absl::Seconds(60);
  Ask(limits, /*stream=*/true);
  Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  loop_.AdvanceTime(absl::Seconds(59));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(HttpClientConnectionTest, RefusesABodyBeyondTheLimit) {
  HttpClientConnection::Limits limits;
  limits.max_body = 4;
  Ask(limits);
  Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_P(HttpClientConnectionTest, ThrowsABodyAwayAndEndsWhenItHasSeenEnough) {
  HttpClientConnection::Limits limits;
  limits.max_body = 8;
  limits.discard_body = true;
  for (const char* const status : {"200 OK", "503 Service Unavailable"}) {
    Ask(limits);
    Say(absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: 5\r\n\r\nhello"));
    ASSERT_TRUE(done_.has_value());
    ASSERT_THAT(*done_, IsOk());
    EXPECT_EQ((*done_)->body, "");
    EXPECT_TRUE(client_->idle());
  }
  Ask(limits);
  Say("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n1234567");
  EXPECT_FALSE(done_.has_value());
  Say("8");
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(*done_, IsOk());
  EXPECT_FALSE(client_->idle());
}

TEST_P(HttpClientConnectionTest, EndsInOrderBetweenRequests) {
  Ask();
  Say("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(done_.has_value());
  ASSERT_THAT(*done_, IsOk());
  EXPECT_EQ((*done_)->head.location, "/there");
  EXPECT_TRUE(client_->idle());
  client_.reset();
  loop_.RunUntilIdle();
  uint8_t byte = 0;
  EXPECT_EQ(server_->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kEof);
}

TEST_P(HttpClientConnectionTest, EndsInOrderWhatCarriesNoOtherRequest) {
  Ask();
  Say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(client_->idle());
  client_.reset();
  loop_.RunUntilIdle();
  uint8_t byte = 0;
  EXPECT_EQ(server_->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kEof);
}

TEST_P(HttpClientConnectionTest, MayBeAbandonedByItsOwnReader) {
  HttpClientConnection::Handlers handlers;
  handlers.on_data = [this](absl::string_view bytes) {
    absl::StrAppend(&streamed_, bytes);
    client_->Abandon();
  };
  handlers.on_done = [this](absl::StatusOr<Response>) { ++answers_; };
  client_->Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", {}, std::move(handlers));
  Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
  EXPECT_EQ(streamed_.substr(0, 1), "a");
  EXPECT_LE(streamed_.size(), 2u);
  EXPECT_EQ(answers_, 0);
}

TEST_P(HttpClientConnectionTest, SaysNothingOnceAbandoned) {
  Ask({}, /*stream=*/true);
  client_->Abandon();
  Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(answers_, 0);
  EXPECT_EQ(streamed_, "");
  EXPECT_FALSE(client_->idle());
}

}  // namespace
}  // namespace byrnie
