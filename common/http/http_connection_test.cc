#include "common/http/http_connection.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http/http_router.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<HttpRouter::Route> Routes() {
  std::vector<HttpRouter::Route> routes;
  routes.push_back(
      {"GET", "/", [](const HttpRequest&) {
         return HttpResponse{
             200, "text/html; charset=utf-8", "<p>hello</p>", {{"Referrer-Policy", "no-referrer"}}};
       }});
  routes.push_back({"GET", "/big", [](const HttpRequest&) {
                      return HttpResponse{200, "text/plain", std::string(300000, 'b')};
                    }});
  routes.push_back({"POST", "/echo", [](const HttpRequest& request) {
                      std::string text = absl::StrCat(request.body, "|");
                      for (const auto& [name, value] : request.query) {
                        absl::StrAppend(&text, name, "=", value, ";");
                      }
                      return HttpResponse{200, "text/plain", text};
                    }});
  return routes;
}

// A client's end of one connection in memory. The quota is that of both ends.
class HttpConnectionTest : public ::testing::Test, public ByteStream::Observer {
 protected:
  void Connect(HttpRouter::Options options = {}, MemoryStreamPair::Quota quota = {},
               HttpConnectionLimits limits = {}, HttpRequestMemory* memory = nullptr) {
    router_ = std::make_unique<HttpRouter>(options, Routes());
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, quota, quota);
    client_ = pair_->TakeA();
    client_->SetObserver(this);
    connection_ = std::make_unique<HttpConnection>(
        &loop_, pair_->TakeB(), SocketAddress(), SocketAddress(), router_.get(),
        [this] { done_ = true; }, limits, memory);
  }
  ~HttpConnectionTest() override { connection_.reset(); }

  void OnReadable() override {
    if (!reading_) return;
    uint8_t buffer[4096];
    while (true) {
      const IoResult result = client_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof) eof_ = true;
      if (result.status == IoStatus::kError) broken_ = true;
      if (eof_ || broken_) return;
      received_.append(reinterpret_cast<const char*>(buffer), result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnWritable() override {
    while (!to_send_.empty()) {
      const IoResult result = client_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(to_send_.data()), to_send_.size()));
      if (result.status == IoStatus::kError) return;
      to_send_.erase(0, result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void Send(const std::string& bytes) {
    to_send_ += bytes;
    OnWritable();
    loop_.RunUntilIdle();
  }
  // What has come since the last call.
  std::string Received() { return std::exchange(received_, ""); }

  ManualEventLoop loop_;
  std::unique_ptr<HttpRouter> router_;
  std::unique_ptr<MemoryStreamPair> pair_;
  std::unique_ptr<ByteStream> client_;
  std::unique_ptr<HttpConnection> connection_;
  std::string to_send_;
  std::string received_;
  bool reading_ = true;
  bool eof_ = false;
  bool broken_ = false;
  bool done_ = false;
};

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

TEST_F(HttpConnectionTest, AnswersAndKeepsTheConnection) {
  Connect();
  for (int i = 0; i < 3; ++i) {
    Send(kGet);
    EXPECT_THAT(
        Received(),
        AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 12\r\n"),
              HasSubstr("Content-Type: text/html; charset=utf-8\r\n"),
              HasSubstr("Cache-Control: no-store\r\n"),
              HasSubstr("Referrer-Policy: no-referrer\r\n"), EndsWith("\r\n\r\n<p>hello</p>")));
  }
  EXPECT_FALSE(eof_);
}

TEST_F(HttpConnectionTest, WorksOneByteAtATime) {
  Connect({}, MemoryStreamPair::Quota::OneByte());
  Send("POST /echo?a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nhello|a=1;")));
  Send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(Received(), EndsWith("<p>hello</p>"));
  EXPECT_TRUE(eof_);
}

TEST_F(HttpConnectionTest, HeadHasTheLengthWithoutTheBody) {
  Connect();
  Send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                HasSubstr("Content-Length: 12\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(HttpConnectionTest, ALargeBodyLeavesBehindItsHeadAndBeforeTheNextAnswer) {
  Connect();
  Send(absl::StrCat("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n", kGet));
  const std::string got = Received();
  EXPECT_THAT(got,
              AllOf(HasSubstr("Content-Length: 300000\r\n"),
                    HasSubstr(absl::StrCat("\r\n\r\n", std::string(300000, 'b'), "HTTP/1.1 200")),
                    EndsWith("<p>hello</p>")));
  Send("HEAD /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(HasSubstr("Content-Length: 300000\r\n"), EndsWith("\r\n\r\n")));
  Send(kGet);
  EXPECT_THAT(Received(), EndsWith("<p>hello</p>"));
}

TEST_F(HttpConnectionTest, AnswersPipelinedRequestsInOrder) {
  Connect();
  Send(absl::StrCat("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nA", kGet,
                    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nB"));
  const std::string got = Received();
  const size_t a = got.find("A|");
  const size_t hello = got.find("<p>hello</p>");
  const size_t b = got.find("B|");
  EXPECT_LT(a, hello);
  EXPECT_LT(hello, b);
  EXPECT_NE(b, std::string::npos);
}

TEST_F(HttpConnectionTest, ReadsChunkedBodies) {
  Connect();
  Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_THAT(Received(), EndsWith("abcde|"));
}

TEST_F(HttpConnectionTest, ReadsChunkedBodiesByteByByte) {
  Connect();
  const absl::string_view request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;a=b\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
  for (const char byte : request) Send(std::string(1, byte));
  EXPECT_THAT(Received(), EndsWith("abcde|"));
}

TEST_F(HttpConnectionTest, GivesLeaveToSendTheBody) {
  Connect();
  Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(Received(), "HTTP/1.1 100 Continue\r\n\r\n");
  Send("ok");
  EXPECT_THAT(Received(), EndsWith("ok|"));
}

TEST_F(HttpConnectionTest, DecodesTheQuery) {
  Connect();
  Send(
      "POST /echo?level=a%20b%3D&empty=&flag&x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(Received(), EndsWith("|level=a b=;empty=;flag=;x=1;"));
  Send("POST /echo?x=%4 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpConnectionTest, ServesAnOlderClientAndCloses) {
  Connect();
  Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.0 200 OK\r\n"), EndsWith("<p>hello</p>")));
  EXPECT_TRUE(eof_);
}

TEST_F(HttpConnectionTest, NamesThePathsWhenOneIsUnknown) {
  Connect();
  Send("GET /nope HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 404 "), HasSubstr("/, /big, /echo")));
}

TEST_F(HttpConnectionTest, NamesTheMethodsWhenOneIsWrong) {
  Connect();
  Send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: POST\r\n")));
  Send("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")));
}

TEST_F(HttpConnectionTest, RefusesAForeignHostWhereLoopbackIsRequired) {
  Connect({/*require_loopback_host=*/true});
  const auto status = [this](const std::string& headers) {
    Send(absl::StrCat("GET / HTTP/1.1\r\n", headers, "\r\n"));
    return Received().substr(9, 3);
  };
  for (const char* host :
       {"localhost", "LOCALHOST:15000", "127.0.0.1", "127.0.0.1:1", "[::1]:80"}) {
    EXPECT_EQ(status(absl::StrCat("Host: ", host, "\r\n")), "200") << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil",
                           "localhost:", "localhost:1x", "[::1", "127.0.0.2", ""}) {
    EXPECT_EQ(status(absl::StrCat("Host: ", host, "\r\n")), "403") << host;
  }
  EXPECT_EQ(status("Host: localhost\r\nOrigin: http://localhost:15000\r\n"), "200");
  EXPECT_EQ(status("Host: localhost\r\nOrigin: https://evil.example\r\n"), "403");
  EXPECT_EQ(status("Host: localhost\r\nOrigin: null\r\n"), "403");
  EXPECT_EQ(status("Host: localhost\r\nHost: localhost\r\n"), "400");
  EXPECT_EQ(status(""), "400");
}

TEST_F(HttpConnectionTest, RefusesOversizeHeaders) {
  Connect();
  Send(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nX: ", std::string(9000, 'x')));
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 431 "));
  EXPECT_TRUE(eof_);
}

TEST_F(HttpConnectionTest, RefusesOversizeBodies) {
  Connect();
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n");
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 413 "));
  EXPECT_TRUE(eof_);
}

TEST_F(HttpConnectionTest, RefusesOversizeChunkedBodies) {
  Connect();
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 5; ++i) Send(absl::StrCat("4000\r\n", std::string(0x4000, 'x'), "\r\n"));
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpConnectionTest, TakesTheLargestBody) {
  Connect();
  Send(absl::StrCat("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n",
                    std::string(65536, 'x')));
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("xxx|")));
}

TEST_F(HttpConnectionTest, RefusesMalformedRequests) {
  for (const char* request :
       {"\x16\x03\x01\x02\x01\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/3.0\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n X: a\r\nHost: localhost\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n"}) {
    connection_.reset();
    client_.reset();
    eof_ = done_ = false;
    Connect();
    Send(request);
    EXPECT_THAT(Received(), StartsWith("HTTP/1.1 400 ")) << request;
    EXPECT_TRUE(eof_) << request;
    client_->ShutdownWrite();
    loop_.RunUntilIdle();
    EXPECT_TRUE(done_) << request;
  }
}

TEST_F(HttpConnectionTest, TimesOutASlowRequestHoweverItTrickles) {
  Connect();
  const std::string request(kGet);
  for (int i = 0; i < 9; ++i) {
    Send(request.substr(i, 1));
    loop_.AdvanceTime(absl::Seconds(1));
  }
  EXPECT_EQ(Received(), "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 408 "));
  EXPECT_TRUE(eof_);
  loop_.AdvanceTime(HttpConnection::kLingerTimeout);
  EXPECT_TRUE(done_);
}

TEST_F(HttpConnectionTest, ClosesAnIdleConnectionWithoutAWord) {
  Connect();
  Send(kGet);
  Received();
  loop_.AdvanceTime(HttpConnectionLimits().request);
  EXPECT_EQ(Received(), "");
  EXPECT_TRUE(done_);
}

TEST_F(HttpConnectionTest, EachRequestHasItsOwnTime) {
  Connect();
  for (int i = 0; i < 5; ++i) {
    Send(kGet);
    EXPECT_THAT(Received(), StartsWith("HTTP/1.1 200 "));
    loop_.AdvanceTime(absl::Seconds(8));
  }
}

TEST_F(HttpConnectionTest, EndsAPeerThatNeverSaysAnything) {
  Connect();
  loop_.AdvanceTime(HttpConnectionLimits().first_byte - absl::Milliseconds(1));
  EXPECT_FALSE(done_);
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_TRUE(done_);
}

TEST_F(HttpConnectionTest, TakesTheTimeAndTheBodyItIsTold) {
  HttpConnectionLimits limits;
  limits.first_byte = absl::Minutes(1);
  limits.idle = absl::Minutes(2);
  limits.request = absl::Seconds(5);
  limits.max_body = 3;
  Connect({}, {}, limits);
  loop_.AdvanceTime(absl::Seconds(59));
  Send(kGet);
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 200 "));
  loop_.AdvanceTime(absl::Seconds(119));
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nABC");
  EXPECT_THAT(Received(), EndsWith("\r\n\r\nABC|"));
  Send("GET");
  loop_.AdvanceTime(absl::Seconds(5));
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 408 "));
  connection_.reset();
  eof_ = false;
  Connect({}, {}, limits);
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 413 "), HasSubstr("larger than 3 bytes")));
}

TEST_F(HttpConnectionTest, HoldsNoMoreOfRequestsThanAllTogetherMay) {
  HttpRequestMemory memory;
  memory.max = 100;
  Connect({}, {}, {}, &memory);
  Send(kGet);
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(memory.held, 0u);
  // Another connection has the rest.
  memory.held = 80;
  Send("POST /echo HTTP/1.1\r\nHost: h\r\n");
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(memory.held, 80u);
  client_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done_);
  connection_.reset();
  memory.held = 0;
  Connect({}, {}, {}, &memory);
  Send("POST /");
  EXPECT_EQ(memory.held, 6u);
  connection_.reset();
  EXPECT_EQ(memory.held, 0u);
}

TEST_F(HttpConnectionTest, HoldsNoMoreOfRequestsThanAllOfOneClientMay) {
  HttpRequestMemory memory;
  memory.max_of_client = 100;
  // Others have as much as they like of what is left, and this client's other connection 80.
  memory.held = 1000;
  memory.held_of_client[SocketAddress().ip()] = 80;
  Connect({}, {}, {}, &memory);
  Send("POST /");
  EXPECT_EQ(memory.held, 1006u);
  Send("echo HTTP/1.1\r\nHost: h\r\n");
  EXPECT_THAT(Received(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(memory.held, 1000u);
  EXPECT_EQ(memory.held_of_client.at(SocketAddress().ip()), 80u);
}

TEST_F(HttpConnectionTest, KnowsWhatDroppingItWouldCost) {
  using Standing = HttpConnection::Standing;
  Connect();
  EXPECT_EQ(connection_->standing(), Standing::kUnanswered);
  Send(kGet);
  EXPECT_EQ(connection_->standing(), Standing::kIdle);
  Send("GET /b");
  EXPECT_EQ(connection_->standing(), Standing::kUnanswered);
  reading_ = false;
  Send("ig HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(connection_->standing(), Standing::kAnswering);
  reading_ = true;
  OnReadable();
  loop_.RunUntilIdle();
  EXPECT_EQ(connection_->standing(), Standing::kIdle);
}

TEST_F(HttpConnectionTest, AnswersAtOnceWhatLiesInTheTransport) {
  Connect();
  loop_.RunUntilIdle();
  const std::string request(kGet);
  const auto write = [this](const std::string& bytes) {
    client_->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  };
  write(request.substr(0, 5));
  EXPECT_FALSE(connection_->TakeWhatHasCome());
  write(request.substr(5));
  EXPECT_TRUE(connection_->TakeWhatHasCome());
  EXPECT_FALSE(connection_->TakeWhatHasCome());
  loop_.RunUntilIdle();
  EXPECT_THAT(Received(), EndsWith("<p>hello</p>"));
}

// Lets those in whose word is good, and remembers who asked.
class FakeGuard final : public MutationGuard {
 public:
  absl::Status Check(const HttpRequest&) const override {
    ++asked;
    return answer;
  }
  absl::Status answer;
  mutable int asked = 0;
};

TEST_F(HttpConnectionTest, AsksTheGuardBeforeAnythingIsChangedAndOnlyThen) {
  FakeGuard guard;
  HttpRouter::Options options;
  options.guard = &guard;
  Connect(options);
  guard.answer = absl::PermissionDeniedError("not you; ask root");
  Send(kGet);
  Send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(guard.asked, 0);
  Received();
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nA");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 403 "), EndsWith("not you; ask root\n")));
  guard.answer = absl::OkStatus();
  Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nA");
  EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("A|")));
  EXPECT_EQ(guard.asked, 2);
}

TEST_F(HttpConnectionTest, EndsAPeerThatDoesNotReadItsAnswer) {
  Connect();
  reading_ = false;
  Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_FALSE(done_);
  loop_.AdvanceTime(HttpConnectionLimits().request);
  EXPECT_TRUE(done_);
}

TEST_F(HttpConnectionTest, DeliversALargeAnswerToASlowReader) {
  Connect();
  reading_ = false;
  Send("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  reading_ = true;
  OnReadable();
  loop_.RunUntilIdle();
  EXPECT_THAT(Received(), EndsWith("\r\n\r\n" + std::string(300000, 'b')));
  EXPECT_TRUE(eof_);
}

TEST_F(HttpConnectionTest, EndsWhenThePeerLeaves) {
  Connect();
  Send("GET / HT");
  client_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done_);
  EXPECT_EQ(Received(), "");
}

TEST_F(HttpConnectionTest, DropsWhatComesAfterTheLastAnswer) {
  Connect();
  Send(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", kGet));
  const std::string got = Received();
  EXPECT_EQ(got.find("HTTP/1.1", 1), std::string::npos);
  EXPECT_FALSE(done_);
  client_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done_);
}

}  // namespace
}  // namespace byrnie
