#include "common/http/http_server.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/tcp_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client over loopback TCP that sends one request and reads to the end.
class Client : public ByteStream::Observer {
 public:
  Client(EventLoop* loop, const SocketAddress& server, std::string request)
      : request_(std::move(request)),
        attempt_(TcpStream::Connect(loop, server, TcpStream::ConnectOptions(),
                                    [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                      if (!stream.ok()) {
                                        ended_ = true;
                                        return;
                                      }
                                      stream_ = *std::move(stream);
                                      stream_->SetObserver(this);
                                      stream_->Write(absl::MakeConstSpan(
                                          reinterpret_cast<const uint8_t*>(request_.data()),
                                          request_.size()));
                                      connected_ = true;
                                    })) {}

  void OnReadable() override {
    uint8_t buffer[4096];
    while (!ended_) {
      const IoResult result = stream_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
        ended_ = true;
        return;
      }
      response_.append(reinterpret_cast<const char*>(buffer), result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnWritable() override {}

  bool connected() const { return connected_; }
  bool ended() const { return ended_; }
  const std::string& response() const { return response_; }

 private:
  std::string request_;
  std::string response_;
  bool connected_ = false;
  bool ended_ = false;
  std::unique_ptr<TcpStream> stream_;
  std::unique_ptr<TcpStream::Attempt> attempt_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<HttpServer> Serve() {
    std::vector<HttpServer::Route> routes;
    routes.push_back({"GET", "/peer", [](const HttpRequest& request) {
                        return HttpResponse{200, "text/plain", request.peer.ip().ToString()};
                      }});
    absl::StatusOr<std::unique_ptr<HttpServer>> server =
        HttpServer::Create(&loop_, SocketAddress(IpAddress::Parse("127.0.0.1").value(), 0),
                           HttpServer::Options(), std::move(routes));
    EXPECT_THAT(server, IsOk());
    return *std::move(server);
  }

  ManualEventLoop loop_;
};

constexpr char kRequest[] = "GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

TEST_F(HttpServerTest, AnswersOverTcp) {
  const std::unique_ptr<HttpServer> server = Serve();
  for (int i = 0; i < 3; ++i) {
    Client client(&loop_, server->address(), kRequest);
    ASSERT_TRUE(loop_.RunUntil([&client] { return client.ended(); }));
    EXPECT_THAT(client.response(), StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(client.response(), EndsWith("127.0.0.1"));
  }
}

TEST_F(HttpServerTest, NamesAnAddressThatIsTaken) {
  const std::unique_ptr<HttpServer> server = Serve();
  EXPECT_THAT(HttpServer::Create(&loop_, server->address(), HttpServer::Options(), {}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("127.0.0.1:")));
}

TEST_F(HttpServerTest, ClosesConnectionsBeyondItsLimitAndGoesOnServing) {
  const std::unique_ptr<HttpServer> server = Serve();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 64; ++i) {
    idle.push_back(std::make_unique<Client>(&loop_, server->address(), "GET"));
    ASSERT_TRUE(loop_.RunUntil([&idle] { return idle.back()->connected(); }));
  }
  {
    Client refused(&loop_, server->address(), kRequest);
    ASSERT_TRUE(loop_.RunUntil([&refused] { return refused.ended(); }));
    EXPECT_EQ(refused.response(), "");
  }
  idle.clear();
  loop_.RunUntilIdle();
  Client client(&loop_, server->address(), kRequest);
  ASSERT_TRUE(loop_.RunUntil([&client] { return client.ended(); }));
  EXPECT_THAT(client.response(), EndsWith("127.0.0.1"));
}

TEST_F(HttpServerTest, IsDestroyedWithOpenConnections) {
  std::unique_ptr<HttpServer> server = Serve();
  Client client(&loop_, server->address(), "GET");
  ASSERT_TRUE(loop_.RunUntil([&client] { return client.connected(); }));
  loop_.RunUntilIdle();
  server.reset();
  ASSERT_TRUE(loop_.RunUntil([&client] { return client.ended(); }));
}

TEST_F(HttpServerTest, DrainAnswersWhatHasComeAndClosesTheRest) {
  std::unique_ptr<HttpServer> server = Serve();
  Client idle(&loop_, server->address(), "");
  Client asking(&loop_, server->address(), kRequest);
  Client keeping(&loop_, server->address(), "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(loop_.RunUntil(
      [&] { return idle.connected() && asking.connected() && keeping.connected(); }));
  bool drained = false;
  server->Drain([&drained] { drained = true; });
  EXPECT_FALSE(drained);
  ASSERT_TRUE(loop_.RunUntil([&] { return idle.ended() && asking.ended() && keeping.ended(); }));
  EXPECT_EQ(idle.response(), "");
  EXPECT_THAT(asking.response(), EndsWith("127.0.0.1"));
  EXPECT_THAT(keeping.response(), EndsWith("127.0.0.1"));
}

TEST_F(HttpServerTest, DrainIsDoneWhenTheLastConnectionIs) {
  std::unique_ptr<HttpServer> server = Serve();
  auto client = std::make_unique<Client>(&loop_, server->address(), "GET");
  ASSERT_TRUE(loop_.RunUntil([&client] { return client->connected(); }));
  loop_.RunUntilIdle();
  bool drained = false;
  server->Drain([&drained] { drained = true; });
  loop_.RunUntilIdle();
  EXPECT_FALSE(drained);
  client.reset();
  EXPECT_TRUE(loop_.RunUntil([&drained] { return drained; }));
}

}  // namespace
}  // namespace byrnie
