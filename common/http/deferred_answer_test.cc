// Routes whose answer comes later.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http/http_connection.h"
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

constexpr char kLater[] = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";

// A client's end, and what has been asked and not been answered; the parameter makes each step one
// byte.
class DeferredAnswerTest : public ::testing::TestWithParam<bool>, public ByteStream::Observer {
 protected:
  class Waiting final : public PendingHttpAnswer {
   public:
    explicit Waiting(DeferredAnswerTest* test) : test_(test) {}
    ~Waiting() override { --test_->waiting_; }

   private:
    DeferredAnswerTest* const test_;
  };

  DeferredAnswerTest() {
    std::vector<HttpRouter::Route> routes;
    routes.push_back(
        {"GET", "/later", nullptr, [this](const HttpRequest&, HttpRouter::Respond respond) {
           respond_ = std::move(respond);
           ++waiting_;
           ++asked_;
           return std::make_unique<Waiting>(this);
         }});
    routes.push_back(
        {"POST", "/kept", nullptr, [this](const HttpRequest& request, HttpRouter::Respond respond) {
           respond_ = std::move(respond);
           kept_ = request.body;
           ++waiting_;
           return std::make_unique<Waiting>(this);
         }});
    routes.push_back({"GET", "/now", [](const HttpRequest&) {
                        return HttpResponse{200, "text/plain", "now"};
                      }});
    router_ = std::make_unique<HttpRouter>(HttpRouter::Options(), std::move(routes));
    const MemoryStreamPair::Quota quota =
        GetParam() ? MemoryStreamPair::Quota::OneByte() : MemoryStreamPair::Quota();
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, quota, quota);
    client_ = pair_->TakeA();
    client_->SetObserver(this);
    connection_ = std::make_unique<HttpConnection>(
        &loop_, pair_->TakeB(), SocketAddress(), SocketAddress(), router_.get(),
        [this] { done_ = true; }, HttpConnectionLimits(), &memory_);
  }
  ~DeferredAnswerTest() override {
    connection_.reset();
    EXPECT_EQ(waiting_, 0);
  }

  void OnReadable() override {
    uint8_t buffer[4096];
    while (!eof_ && !broken_) {
      const IoResult result = client_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof) eof_ = true;
      if (result.status == IoStatus::kError) broken_ = true;
      received_.append(reinterpret_cast<const char*>(buffer), eof_ || broken_ ? 0 : result.bytes);
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
  void Respond(const std::string& body) {
    respond_({200, "text/plain", body});
    loop_.RunUntilIdle();
  }
  std::string Received() { return std::exchange(received_, ""); }

  ManualEventLoop loop_;
  HttpRequestMemory memory_;
  std::unique_ptr<HttpRouter> router_;
  std::unique_ptr<MemoryStreamPair> pair_;
  std::unique_ptr<ByteStream> client_;
  std::unique_ptr<HttpConnection> connection_;
  HttpRouter::Respond respond_;
  std::string kept_;
  int waiting_ = 0, asked_ = 0;
  std::string to_send_;
  std::string received_;
  bool eof_ = false, broken_ = false, done_ = false;
};

INSTANTIATE_TEST_SUITE_P(Steps, DeferredAnswerTest, ::testing::Bool());

TEST_P(DeferredAnswerTest, ComesWhenItIsThere) {
  for (int i = 0; i < 2; ++i) {
    Send(kLater);
    EXPECT_EQ(Received(), "");
    EXPECT_EQ(waiting_, 1);
    // Longer than any request may take.
    loop_.AdvanceTime(absl::Minutes(5));
    EXPECT_EQ(connection_->standing(), HttpConnection::Standing::kAnswering);
    Respond("late");
    EXPECT_EQ(waiting_, 0);
    EXPECT_THAT(Received(), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                  HasSubstr("Content-Length: 4\r\n"), EndsWith("\r\n\r\nlate")));
    EXPECT_FALSE(done_);
  }
}

TEST_P(DeferredAnswerTest, ToHeadHasNoBody) {
  Send("HEAD /later HTTP/1.1\r\nHost: h\r\n\r\n");
  Respond("late");
  EXPECT_THAT(Received(), AllOf(HasSubstr("Content-Length: 4\r\n"), EndsWith("\r\n\r\n")));
}

TEST_P(DeferredAnswerTest, IsWaitedForByWhatWasAskedBehindIt) {
  Send(absl::StrCat(kLater, "GET /now HTTP/1.1\r\nHost: h\r\n\r\n", kLater));
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(Received(), "");
  Respond("first");
  EXPECT_EQ(asked_, 2);
  EXPECT_THAT(Received(), AllOf(HasSubstr("\r\n\r\nfirst"), EndsWith("\r\n\r\nnow")));
  Respond("third");
  EXPECT_THAT(Received(), EndsWith("\r\n\r\nthird"));
}

TEST_P(DeferredAnswerTest, IsGivenUpWhenTheClientLeaves) {
  Send(kLater);
  client_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(waiting_, 0);
  EXPECT_TRUE(done_);
}

TEST_P(DeferredAnswerTest, IsGivenUpWhenTheClientIsReset) {
  Send(kLater);
  client_.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(waiting_, 0);
  EXPECT_TRUE(done_);
}

TEST_P(DeferredAnswerTest, IsGivenUpWithTheConnection) {
  Send(kLater);
  connection_.reset();
  EXPECT_EQ(waiting_, 0);
}

TEST_P(DeferredAnswerTest, IsNotGivenOnceTheClientHasLeft) {
  Send(kLater);
  // Both in one turn: the answer is there, and then so is the end.
  respond_({200, "text/plain", "late"});
  client_.reset();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done_);
}

TEST_P(DeferredAnswerTest, IsGivenBeforeADrainedConnectionEnds) {
  Send(kLater);
  connection_->Drain();
  loop_.RunUntilIdle();
  EXPECT_FALSE(eof_);
  Respond("late");
  EXPECT_THAT(Received(), AllOf(HasSubstr("Connection: close\r\n"), EndsWith("late")));
  EXPECT_TRUE(eof_);
  EXPECT_THAT(Received(), Not(HasSubstr("HTTP")));
}

TEST_P(DeferredAnswerTest, HasItsTimeToBeTaken) {
  Send(kLater);
  loop_.AdvanceTime(absl::Minutes(5));
  eof_ = true;  // Reads no more.
  respond_({200, "text/plain", std::string(300000, 'b')});
  loop_.RunUntilIdle();
  EXPECT_FALSE(done_);
  loop_.AdvanceTime(HttpConnectionLimits().request);
  EXPECT_TRUE(done_);
}

TEST_P(DeferredAnswerTest, HoldsNothingOfWhatIsKeptForRequests) {
  Send(kLater);
  EXPECT_EQ(memory_.held, 0u);
}

TEST_P(DeferredAnswerTest, HoldsTheBodyThatIsToBeAnswered) {
  Send("POST /kept HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nlarge");
  EXPECT_EQ(kept_, "large");
  EXPECT_EQ(memory_.held, 5u);
  Respond("done");
  EXPECT_EQ(memory_.held, 0u);
  EXPECT_TRUE(memory_.held_of_client.empty());
}

}  // namespace
}  // namespace byrnie
