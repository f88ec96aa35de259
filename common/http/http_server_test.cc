#include "common/http/http_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/tcp_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A socket with an address of its own choice, connected to a listener on loopback.
UniqueFd ConnectedFrom(const char* source, const SocketAddress& server) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage storage;
  socklen_t size = SocketAddress(IpAddress::Parse(source).value(), 0).ToSockaddr(&storage);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  size = server.ToSockaddr(&storage);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  EXPECT_EQ(fcntl(fd.get(), F_SETFL, O_NONBLOCK), 0);
  return fd;
}

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

  // Of a socket that is connected already.
  Client(EventLoop* loop, UniqueFd fd, const std::string& request) {
    stream_ = TcpStream::Create(loop, std::move(fd)).value();
    stream_->SetObserver(this);
    connected_ = true;
    Send(request);
  }

  void Send(const std::string& bytes) {
    stream_->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }

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
                           options_, std::move(routes));
    EXPECT_THAT(server, IsOk());
    return *std::move(server);
  }

  // A connection that is taken and says `bytes`.
  std::unique_ptr<Client> Open(const HttpServer& server, const std::string& bytes) {
    auto client = std::make_unique<Client>(&loop_, server.address(), bytes);
    EXPECT_TRUE(loop_.RunUntil([&client] { return client->connected(); }));
    loop_.RunUntilIdle();
    return client;
  }

  ManualEventLoop loop_;
  Counter evicted_;
  HttpServer::Options options_ = [this] {
    HttpServer::Options options;
    options.evicted = &evicted_;
    return options;
  }();
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

TEST_F(HttpServerTest, AnswersHoweverManyConnectionsSayNothing) {
  const std::unique_ptr<HttpServer> server = Serve();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(Open(*server, i % 2 == 0 ? "" : "GET"));
  EXPECT_EQ(evicted_.value(), 200u - 64u);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(idle[i]->ended(), true) << "the oldest go first: " << i;
  EXPECT_FALSE(idle.back()->ended());
  Client client(&loop_, server->address(), kRequest);
  ASSERT_TRUE(loop_.RunUntil([&client] { return client.ended(); }));
  EXPECT_THAT(client.response(), EndsWith("127.0.0.1"));
}

TEST_F(HttpServerTest, ClosesWhoWasAnsweredBeforeWhoWaitsForAnAnswer) {
  const std::unique_ptr<HttpServer> server = Serve();
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 63; ++i) waiting.push_back(Open(*server, "GET /peer HT"));
  const std::unique_ptr<Client> answered =
      Open(*server, "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::unique_ptr<Client> newcomer = Open(*server, "");
  EXPECT_THAT(answered->response(), EndsWith("127.0.0.1"));
  EXPECT_TRUE(answered->ended());
  for (const std::unique_ptr<Client>& client : waiting) EXPECT_FALSE(client->ended());
}

TEST_F(HttpServerTest, ClosesThoseOfTheClientThatHasTheMost) {
  const std::unique_ptr<HttpServer> server = Serve();
  // As a probe's connection whose request is under way.
  const std::unique_ptr<Client> probe = std::make_unique<Client>(
      &loop_, ConnectedFrom("127.0.0.2", server->address()), "GET /peer HT");
  loop_.RunUntilIdle();
  std::vector<std::unique_ptr<Client>> hoard;
  for (int i = 0; i < 300; ++i) hoard.push_back(Open(*server, ""));
  EXPECT_FALSE(probe->ended());
  probe->Send("TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(loop_.RunUntil([&probe] { return probe->ended(); }));
  EXPECT_THAT(probe->response(), EndsWith("127.0.0.2"));
}

TEST_F(HttpServerTest, AnswersWhatLiesInTheKernelBeforeItClosesAnything) {
  const std::unique_ptr<HttpServer> server = Serve();
  // All of them are accepted in few turns.
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(std::make_unique<Client>(&loop_, server->address(), kRequest));
  }
  for (const std::unique_ptr<Client>& client : clients) {
    ASSERT_TRUE(loop_.RunUntil([&client] { return client->ended(); }));
    EXPECT_THAT(client->response(), EndsWith("127.0.0.1"));
  }
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
