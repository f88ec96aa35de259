#include "controlplane/kubernetes/http_api_client.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
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

// A server's end in memory, which records what it hears.
class ServerEnd final : public ByteStream::Observer {
 public:
  explicit ServerEnd(EventLoop* loop) : pair_(loop), stream_(pair_.TakeB()) {
    stream_->SetObserver(this);
  }
  ~ServerEnd() override { stream_->SetObserver(nullptr); }
  std::unique_ptr<ByteStream> TakeClient() { return pair_.TakeA(); }

  void OnReadable() override {
    uint8_t buffer[4096];
    IoResult result;
    do {
      result = stream_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
        ended_ = true;
        return;
      }
      heard_.append(reinterpret_cast<const char*>(buffer), result.bytes);
    } while (result.status == IoStatus::kOk);
  }
  void OnWritable() override {}
  void Say(absl::string_view text) {
    stream_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  void Close() { stream_->ShutdownWrite(); }

  std::string heard_;
  bool ended_ = false;

 private:
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> stream_;
};

class HttpApiClientTest : public ::testing::Test, public ApiConnector {
 protected:
  class Dialling final : public ApiConnector::Attempt {
   public:
    Dialling(HttpApiClientTest* test, Callback done)
        : deferred_(test->loop_.NewDeferred([test, done = std::move(done)]() mutable {
            if (!test->refuse_.ok()) return done(test->refuse_);
            test->servers_.push_back(std::make_unique<ServerEnd>(&test->loop_));
            done(test->servers_.back()->TakeClient());
          })) {
      deferred_->Schedule();
    }

   private:
    std::unique_ptr<EventLoop::Deferred> deferred_;
  };
  std::unique_ptr<Attempt> Connect(Callback done) override {
    return std::make_unique<Dialling>(this, std::move(done));
  }

  static ApiServer Server() {
    ApiServer server;
    server.host = server.server_name = "10.96.0.1";
    std::string token = "t0ken";
    server.token = SecretBytes::TakeFrom(&token);
    return server;
  }
  void Ask(ApiRequest request, bool stream = false) {
    ApiClient::Handlers handlers;
    if (stream) {
      handlers.on_data = [this](absl::string_view bytes) {
        absl::StrAppend(&streamed_, bytes);
        if (drop_in_data_) call_.reset();
      };
    }
    handlers.on_done = [this](absl::StatusOr<ApiResponse> response) {
      answers_.push_back(std::move(response));
      call_.reset();
    };
    call_ = client_.Send(std::move(request), std::move(handlers));
    loop_.RunUntilIdle();
  }
  void Say(size_t server, absl::string_view text) {
    servers_[server]->Say(text);
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  ApiCredentials credentials_{Server(), &logger_};
  std::vector<std::unique_ptr<ServerEnd>> servers_;
  absl::Status refuse_;
  HttpApiClient client_{&loop_, this, &credentials_};
  std::unique_ptr<ApiClient::Call> call_;
  std::string streamed_;
  bool drop_in_data_ = false;
  std::vector<absl::StatusOr<ApiResponse>> answers_;
};

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

TEST_F(HttpApiClientTest, SendsTheTokenAndTheBody) {
  ApiRequest request;
  request.method = "POST";
  request.target = "/apis/x";
  request.body = "{}";
  Ask(request);
  EXPECT_EQ(servers_[0]->heard_,
            "POST /apis/x HTTP/1.1\r\nHost: 10.96.0.1:443\r\nUser-Agent: byrnie-controlplane\r\n"
            "Accept: application/json\r\nAuthorization: Bearer t0ken\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  Say(0, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}");
  ASSERT_EQ(answers_.size(), 1u);
  ASSERT_THAT(answers_[0], IsOk());
  EXPECT_TRUE(answers_[0]->ok());
  EXPECT_EQ(answers_[0]->body, "{}");
}

TEST_F(HttpApiClientTest, AsksBelowTheServersPathOnBehalfOfSomebody) {
  ApiServer server = Server();
  server.path_prefix = "/k8s/clusters/c-1";
  server.headers = {{"Impersonate-User", "alice"}, {"Impersonate-Group", "people"}};
  ApiCredentials credentials(std::move(server), &logger_);
  HttpApiClient client(&loop_, this, &credentials);
  ApiRequest request;
  request.target = "/api/v1/pods";
  ApiClient::Handlers handlers;
  handlers.on_done = [](absl::StatusOr<ApiResponse>) {};
  const auto call = client.Send(std::move(request), std::move(handlers));
  loop_.RunUntilIdle();
  ASSERT_EQ(servers_.size(), 1u);
  EXPECT_TRUE(
      absl::StartsWith(servers_[0]->heard_, "GET /k8s/clusters/c-1/api/v1/pods HTTP/1.1\r\n"));
  EXPECT_THAT(servers_[0]->heard_,
              HasSubstr("\r\nImpersonate-User: alice\r\nImpersonate-Group: people\r\n"));
}

TEST_F(HttpApiClientTest, UsesAConnectionAgain) {
  Ask({});
  Say(0, kOk);
  Ask({});
  Say(0, kOk);
  EXPECT_EQ(answers_.size(), 2u);
  EXPECT_EQ(servers_.size(), 1u);
}

TEST_F(HttpApiClientTest, AsksOnceMoreWhenAKeptConnectionWasClosed) {
  Ask({});
  Say(0, kOk);
  // In flight while the next request is sent.
  ApiClient::Handlers handlers;
  handlers.on_done = [this](absl::StatusOr<ApiResponse> response) {
    answers_.push_back(std::move(response));
  };
  call_ = client_.Send({}, std::move(handlers));
  servers_[0]->Close();
  loop_.RunUntilIdle();
  ASSERT_EQ(servers_.size(), 2u);
  Say(1, kOk);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_THAT(answers_[1], IsOk());
}

TEST_F(HttpApiClientTest, DoesNotAskAgainOnANewConnection) {
  Ask({});
  servers_[0]->Close();
  loop_.RunUntilIdle();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_THAT(answers_[0], StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(HttpApiClientTest, SaysWhyItCannotConnect) {
  refuse_ = absl::UnauthenticatedError("wrong CA");
  Ask({});
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_THAT(answers_[0], StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(HttpApiClientTest, StreamsOnAConnectionOfItsOwnUntilItIsGivenUp) {
  Ask({}, /*stream=*/true);
  std::unique_ptr<ApiClient::Call> watch = std::move(call_);
  Ask({});
  EXPECT_EQ(servers_.size(), 2u);
  Say(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n");
  EXPECT_EQ(streamed_, "a\n");
  watch.reset();
  loop_.RunUntilIdle();
  EXPECT_TRUE(servers_[0]->ended_);
  EXPECT_TRUE(answers_.empty());
}

TEST_F(HttpApiClientTest, MayBeGivenUpWhileItStreams) {
  drop_in_data_ = true;
  Ask({}, /*stream=*/true);
  Say(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n2\r\nb\n\r\n");
  EXPECT_TRUE(absl::StartsWith(streamed_, "a\n"));
  EXPECT_TRUE(servers_[0]->ended_);
  EXPECT_TRUE(answers_.empty());
}

TEST_F(HttpApiClientTest, BoundsWhatIsUnderWay) {
  std::vector<std::unique_ptr<ApiClient::Call>> calls;
  int refused = 0;
  for (size_t i = 0; i <= HttpApiClient::kMaxCalls; ++i) {
    ApiClient::Handlers handlers;
    handlers.on_done = [&](absl::StatusOr<ApiResponse> response) {
      EXPECT_THAT(response, StatusIs(absl::StatusCode::kResourceExhausted));
      ++refused;
    };
    calls.push_back(client_.Send({}, std::move(handlers)));
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(refused, 1);
}

TEST(ApiErrorTest, SaysWhatTheServerSays) {
  ApiResponse response;
  response.status = 403;
  response.body = R"({"kind":"Status","message":"pods is forbidden","code":403})";
  EXPECT_THAT(ApiError(response),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("pods is forbidden")));
  response.status = 410;
  EXPECT_THAT(ApiError(response), StatusIs(absl::StatusCode::kOutOfRange));
  response.status = 503;
  response.body = "<html>";
  EXPECT_THAT(ApiError(response),
              StatusIs(absl::StatusCode::kUnavailable, "the API server answered 503"));
}

TEST(EncodeQueryTest, LeavesNothingThatHasAMeaning) {
  EXPECT_EQ(EncodeQuery("a=b&c/d e+%"), "a%3db%26c%2fd%20e%2b%25");
}

}  // namespace
}  // namespace byrnie
