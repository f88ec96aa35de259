#include "proxy/inbound.h"

#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/http2/connect_session.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/connect_refusal.h"
#include "proxy/end_code.h"
#include "proxy/flight_recorder.h"
#include "proxy/flow_shard.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_header.h"
#include "proxy/stage_times.h"
#include "proxy/tcp_metrics.h"
#include "proxy/testing/data_path.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

ProxyConfig Config() {
  ProxyConfig config;
  config.admin = *SocketAddress::Parse("127.0.0.1:15000");
  return config;
}

InboundTarget Check(const char* local, absl::string_view authority) {
  return CheckAuthority(Config(), *IpAddress::Parse(local), authority);
}

TEST(CheckAuthorityTest, TakesItsOwnAddressWithAPort) {
  const InboundTarget v4 = Check("10.0.0.1", "10.0.0.1:8080");
  EXPECT_EQ(v4.http_status, 200);
  EXPECT_EQ(v4.address.ToString(), "10.0.0.1:8080");
  EXPECT_EQ(Check("fd00::1", "[fd00::1]:8080").http_status, 200);
}

TEST(CheckAuthorityTest, RefusesEveryOtherAddress) {
  for (const char* authority : {"10.0.0.2:8080", "127.0.0.1:8080", "0.0.0.0:8080", "[::1]:8080"}) {
    const InboundTarget target = Check("10.0.0.1", authority);
    EXPECT_EQ(target.http_status, 400) << authority;
    EXPECT_EQ(target.reason, access_reason::kBadConnectRequest);
  }
}

TEST(CheckAuthorityTest, RefusesWhatIsNotAnAddressAndAPort) {
  for (const char* authority :
       {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "localhost:80",
        "10.0.0.1:80@10.0.0.1:81", "10.0.0.1:80/", " 10.0.0.1:80"}) {
    EXPECT_EQ(Check("10.0.0.1", authority).http_status, 400) << authority;
  }
}

TEST(CheckAuthorityTest, TakesAPortByItsNumberHoweverItIsWritten) {
  // RFC 3986 section 3.2.3 has any digits, and RFC 9110 section 9.3.6 refuses empty and invalid
  // ports. What policies see is the number.
  const InboundTarget target = Check("10.0.0.1", "10.0.0.1:00080");
  EXPECT_EQ(target.http_status, 200);
  EXPECT_EQ(target.address.port(), 80);
  EXPECT_EQ(Check("10.0.0.1", "10.0.0.1:000080").http_status, 400);
}

TEST(CheckAuthorityTest, RefusesTheSidecarsOwnPorts) {
  for (const char* authority : {"10.0.0.1:15000", "10.0.0.1:15001", "10.0.0.1:15006",
                                "10.0.0.1:15008", "10.0.0.1:15010", "10.0.0.1:15022"}) {
    const InboundTarget target = Check("10.0.0.1", authority);
    EXPECT_EQ(target.http_status, 403) << authority;
    EXPECT_EQ(target.reason, access_reason::kLoop);
  }
}

TEST(CheckAuthorityTest, TakesMetricsAndReadiness) {
  for (const char* authority : {"10.0.0.1:15020", "10.0.0.1:15021"}) {
    EXPECT_EQ(Check("10.0.0.1", authority).http_status, 200) << authority;
  }
}

class IgnoringDelegate : public ConnectSession::Delegate {
 public:
  void OnConnect(std::unique_ptr<ConnectStream>, ConnectRequest) override {}
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}
};

// A peer's CONNECT over a tunnel in memory that ends on 127.0.0.1, and the real connection to it.
class InboundConnectionTest : public DataPathTest {
 protected:
  struct Answer {
    absl::Status status = absl::UnknownError("no answer");
    int http_status = 0;
    HeaderList headers;
    std::unique_ptr<ConnectStream> stream;
  };

  explicit InboundConnectionTest(MemoryStreamPair::Quota quota = {})
      : server_(this), pair_(&loop_, quota, quota) {
    peer_ = std::make_shared<const PeerInfo>(
        PeerInfo{VerifiedSvid{*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/client"),
                              absl::InfiniteFuture()},
                 TlsSessionInfo(), absl::nullopt, 1, absl::InfiniteFuture(), CertificateChain()});
    client_session_ = ConnectSession::CreateClient(&loop_, pair_.TakeA(), {}, &client_);
    server_session_ = ConnectSession::CreateServer(&loop_, pair_.TakeB(), {}, &server_);
    loop_.RunUntilIdle();
  }

  Answer Connect(const std::string& authority) {
    Answer answer;
    absl::StatusOr<std::unique_ptr<ConnectStream>> stream = client_session_->OpenStream(
        ConnectRequest{authority, {}},
        [&answer](absl::Status status, int http_status, const HeaderList& headers) {
          answer.status = std::move(status);
          answer.http_status = http_status;
          answer.headers = headers;
        });
    EXPECT_THAT(stream, IsOk());
    EXPECT_TRUE(loop_.RunUntil([&answer] { return answer.http_status != 0; }));
    answer.stream = *std::move(stream);
    return answer;
  }
  void ExpectRefused(const std::string& authority, int http_status, absl::string_view reason) {
    const Answer answer = Connect(authority);
    EXPECT_EQ(answer.http_status, http_status) << authority;
    EXPECT_THAT(answer.headers, Contains(Pair(kDenyReasonHeader, std::string(reason))));
    loop_.RunUntilIdle();
    EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", reason)));
    EXPECT_EQ(registry_.size(), 0u);
  }

  // An open request of the peer's; its answer is not looked at.
  absl::StatusOr<std::unique_ptr<ConnectStream>> Request(const std::string& authority) {
    return client_session_->OpenStream(ConnectRequest{authority, {}},
                                       [](absl::Status, int, const HeaderList&) {});
  }

  // Of each connection, when it begins; empty: it goes on.
  absl::string_view end_at_once_;

 private:
  class Server final : public IgnoringDelegate {
   public:
    explicit Server(InboundConnectionTest* test) : test_(test) {}
    void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) override {
      test_->registry_.Add(std::make_unique<InboundConnection>(
          &test_->context_, std::move(stream), std::move(request.authority),
          *SocketAddress::Parse("10.0.0.9:4000"), *IpAddress::Parse("127.0.0.1"), test_->peer_));
      // The application is being dialled.
      if (!test_->end_at_once_.empty()) test_->registry_.AbortAll(test_->end_at_once_, "");
    }

   private:
    InboundConnectionTest* const test_;
  };

  IgnoringDelegate client_;
  Server server_;
  MemoryStreamPair pair_;
  std::shared_ptr<const PeerInfo> peer_;
  std::unique_ptr<ConnectSession> client_session_;
  std::unique_ptr<ConnectSession> server_session_;
};

TEST_F(InboundConnectionTest, IsDeniedBeforeTheFirstPolicies) {
  ExpectRefused("127.0.0.1:8080", 401, "no-policy-snapshot");
}

TEST_F(InboundConnectionTest, RefusesAnAddressThatIsNotOurs) {
  SetMesh({});
  ExpectRefused("10.9.9.9:8080", 400, access_reason::kBadConnectRequest);
  ExpectRefused("server.demo:8080", 400, access_reason::kBadConnectRequest);
}

TEST_F(InboundConnectionTest, RefusesTheSidecarsPorts) {
  SetMesh({});
  for (const int port : {15000, 15001, 15006, 15008, 15010}) {
    ExpectRefused(absl::StrCat("127.0.0.1:", port), 403, access_reason::kLoop);
  }
}

TEST_F(InboundConnectionTest, TellsThePeerThatAPolicyDeniesButNotWhich) {
  link::v1::PolicyUpdate policies;
  istio::security::Authorization* policy = policies.add_policies();
  policy->set_name("secret-name");
  policy->set_namespace_("demo");
  policy->set_scope(istio::security::NAMESPACE);
  policy->set_action(istio::security::DENY);
  policy->add_rules()->add_clauses()->add_matches()->add_principals()->set_exact(
      "cluster.local/ns/demo/sa/client");
  SetMesh(policies);
  const Answer answer = Connect("127.0.0.1:8080");
  EXPECT_EQ(answer.http_status, 401);
  EXPECT_THAT(answer.headers, Contains(Pair(kDenyReasonHeader, "policy-deny")));
  loop_.RunUntilIdle();
  EXPECT_THAT(TakeLog(), HasSubstr("demo/secret-name"));
}

TEST_F(InboundConnectionTest, SaysThatTheApplicationDoesNotListen) {
  SetMesh({});
  // Bound, so that nobody else listens there.
  UniqueFd closed(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage storage;
  socklen_t size = SocketAddress::Parse("127.0.0.1:0")->ToSockaddr(&storage);
  ASSERT_EQ(bind(closed.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  ASSERT_EQ(getsockname(closed.get(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
  ExpectRefused(SocketAddress::FromSockaddr(storage)->ToString(), 503,
                access_reason::kConnectFailed);
}

TEST_F(InboundConnectionTest, APeerThatGivesUpEndsTheConnectionToTheApplication) {
  SetMesh({});
  const FullBacklog app;
  absl::StatusOr<std::unique_ptr<ConnectStream>> stream = Request(app.address().ToString());
  ASSERT_THAT(stream, IsOk());
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 1; }));
  loop_.RunUntilIdle();
  ASSERT_EQ(registry_.size(), 1u);
  stream->reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", access_reason::kResetByDownstream, "\"")));
}

TEST_F(InboundConnectionTest, CarriesWhatIsAllowedAndCountsItWhileItIsOpen) {
  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  Answer answer = Connect((*listener)->address().ToString());
  EXPECT_THAT(answer.status, IsOk());
  ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
  const uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
  ASSERT_EQ(answer.stream->Write(hello).bytes, 5u);
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return app->Read(absl::MakeSpan(buffer)).bytes == 5; }));
  const Counter& sent = *metrics_.direction(AccessRecord::Direction::kInbound).bytes_sent;
  registry_.CountBytes();
  EXPECT_EQ(sent.value(), 5u);
  registry_.CountBytes();
  ASSERT_EQ(answer.stream->Write(absl::MakeConstSpan(hello, 2)).bytes, 2u);
  ASSERT_TRUE(loop_.RunUntil([&] { return app->Read(absl::MakeSpan(buffer)).bytes == 2; }));
  EXPECT_EQ(sent.value(), 5u);
  registry_.CountBytes();
  EXPECT_EQ(sent.value(), 7u);
  app.reset();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
  registry_.CountBytes();
  EXPECT_EQ(sent.value(), 7u);
}

TEST_F(InboundConnectionTest, AsksOnceWhoHasThePeersAddress) {
  Connect("127.0.0.1:8080");
  EXPECT_THAT(questions_, IsEmpty()) << "it was denied";
  SetMesh({});
  Connect("127.0.0.1:1");
  Connect("127.0.0.1:1");
  ASSERT_EQ(questions_.size(), 1u);
  EXPECT_EQ(questions_[0].second.ToString(), "10.0.0.9");
}

TEST_F(InboundConnectionTest, AddsToTheEdgeOfTheTwoEndsFromItsBeginningToItsEnd) {
  std::vector<Flow> told;
  FlowShard shard(&loop_, 64 * 1024, [&told](std::vector<Flow> changes, uint64_t) {
    for (Flow& flow : changes) told.push_back(std::move(flow));
  });
  context_.flows = &shard;
  Connect("127.0.0.1:8080");  // Before the first policies.
  loop_.RunUntilIdle();
  shard.Flush();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].key->view().verdict, AccessRecord::Result::kDenied);
  EXPECT_EQ(told[0].reason, "no-policy-snapshot");
  EXPECT_EQ(told[0].closed, 1u);

  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  const Answer answer = Connect((*listener)->address().ToString());
  ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
  const uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
  ASSERT_EQ(answer.stream->Write(hello).bytes, 5u);
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return app->Read(absl::MakeSpan(buffer)).bytes == 5; }));
  registry_.CountBytes();
  told.clear();
  shard.Flush();
  ASSERT_EQ(told.size(), 1u);
  const FlowKeyView& key = told[0].key->view();
  EXPECT_EQ(key.direction, AccessRecord::Direction::kInbound);
  EXPECT_EQ(key.path, FlowKeyView::Path::kHbone);
  EXPECT_EQ(key.verdict, AccessRecord::Result::kAllowed);
  EXPECT_EQ(key.peer, "spiffe://cluster.local/ns/demo/sa/client");
  EXPECT_EQ(key.destination, (*listener)->address());
  EXPECT_EQ(told[0].source.ToString(), "10.0.0.9");
  EXPECT_THAT(told[0].reason, HasSubstr("default-allow"));
  EXPECT_EQ(told[0].opened, 1u);
  EXPECT_EQ(told[0].closed, 0u);
  EXPECT_EQ(told[0].bytes_sent, 5u);

  app.reset();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
  told.clear();
  shard.Flush();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].opened, 0u);
  EXPECT_EQ(told[0].closed, 1u);
  EXPECT_EQ(told[0].bytes_sent, 0u);
}

TEST_F(InboundConnectionTest, TellsAnApplicationThatAsksWhoseConnectionItIs) {
  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  config_.inbound.proxy_protocol_ports = {(*listener)->address().port()};
  Answer answer = Connect((*listener)->address().ToString());
  ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
  ASSERT_EQ(
      answer.stream->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>("x"), 1)).bytes,
      1u);
  const std::string expected =
      ProxyHeader(*SocketAddress::Parse("10.0.0.9:4000"), (*listener)->address(),
                  "spiffe://cluster.local/ns/demo/sa/client") +
      "x";
  std::string got;
  ASSERT_TRUE(loop_.RunUntil([&] {
    uint8_t buffer[256];
    const IoResult result = app->Read(absl::MakeSpan(buffer));
    got.append(reinterpret_cast<const char*>(buffer), result.bytes);
    return got.size() >= expected.size();
  }));
  EXPECT_EQ(got, expected);
  registry_.CountBytes();
  EXPECT_EQ(metrics_.direction(AccessRecord::Direction::kInbound).bytes_sent->value(), 1u);
}

TEST_F(InboundConnectionTest, ReportsItsStagesItsPartiesAndItsEnd) {
  FlightRecorder recorder;
  TcpMetrics tcp(&metric_registry_, 2000, 1);
  context_.recorder = &recorder;
  context_.tcp_series = tcp.shard(0);
  config_.access_log = AccessLog::kOpenClose;
  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  Answer answer = Connect((*listener)->address().ToString());
  ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"event\":\"open\",\"connection\":\"0-1\""),
                               Not(HasSubstr("\"reason\""))));
  EXPECT_EQ(recorder.size(), 0u);
  ASSERT_THAT(registry_.Ids(), ElementsAre(1));
  const Connection& connection = *registry_.Find(1);
  EXPECT_EQ(*connection.MakeView().admitted_by, "default-allow-same-trust-domain");
  EXPECT_EQ(connection.MakeView().stream, 1);
  Connection::Filter filter;
  EXPECT_TRUE(filter.Admits(connection));
  filter.direction = AccessRecord::Direction::kOutbound;
  EXPECT_FALSE(filter.Admits(connection));

  const uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
  ASSERT_EQ(answer.stream->Write(hello).bytes, 5u);
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return app->Read(absl::MakeSpan(buffer)).bytes == 5; }));
  app.reset();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
  ASSERT_EQ(recorder.size(), 1u);
  const StageTimes stages = recorder.Find({})[0].stages();
  for (const StageTimes::Stage stage :
       {StageTimes::kDestination, StageTimes::kPolicy, StageTimes::kDial, StageTimes::kFirstSent}) {
    EXPECT_TRUE(stages.Completed(stage)) << StageTimes::NameOf(stage);
  }
  for (const StageTimes::Stage stage :
       {StageTimes::kTls, StageTimes::kTunnel, StageTimes::kFirstReceived}) {
    EXPECT_FALSE(stages.Completed(stage)) << StageTimes::NameOf(stage);
  }
  const std::string page = metric_registry_.RenderPrometheusText();
  const std::string client = "source_principal=\"spiffe://cluster.local/ns/demo/sa/client\"";
  EXPECT_THAT(page, HasSubstr(client));
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"event\":\"close\",\"connection\":\"0-1\""),
                               HasSubstr("\"admitted_by\":\"default-allow-same-trust-domain\"")));
}

TEST_F(InboundConnectionTest, TellsThePeerWhatAnswersIt) {
  context_.baggage = "k8s.namespace.name=demo,service.name=server";
  SetMesh({});
  // Kept: a connection that ends at once is none that was made.
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  const Answer answer = Connect((*listener)->address().ToString());
  EXPECT_EQ(answer.http_status, 200);
  EXPECT_THAT(answer.headers, Contains(Pair("baggage", context_.baggage)));
}

TEST_F(InboundConnectionTest, ARefusalIsCountedForItsPartiesToo) {
  FlightRecorder recorder;
  TcpMetrics tcp(&metric_registry_, 2000, 1);
  context_.recorder = &recorder;
  context_.tcp_series = tcp.shard(0);
  Connect("127.0.0.1:8080");
  loop_.RunUntilIdle();
  ASSERT_EQ(recorder.size(), 1u);
  EXPECT_EQ(recorder.Find({})[0].reason(), decision_reason::kNoPolicySnapshot);
  EXPECT_FALSE(recorder.Find({})[0].stages().Completed(StageTimes::kDial));
  EXPECT_THAT(metric_registry_.RenderPrometheusText(), HasSubstr("response_flags=\"UAEX\""));
}

TEST_F(InboundConnectionTest, APolicyThatComesLaterEndsWhatItDenies) {
  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  Answer answer = Connect((*listener)->address().ToString());
  ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
  registry_.Recheck();
  EXPECT_EQ(registry_.size(), 1u);
  context_.mesh = std::make_shared<const MeshSnapshot>();
  registry_.Recheck();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
  EXPECT_THAT(TakeLog(), HasSubstr("\"result\":\"denied\",\"reason\":\"policy-changed\""));
  EXPECT_TRUE(loop_.RunUntil([&answer] { return !answer.stream->error().ok(); }));
  EXPECT_EQ(PeerReasonOf(answer.stream->error()), access_reason::kPolicyChanged);
}

TEST_F(InboundConnectionTest, WhatIsEndedBeforeItIsOpenIsAnsweredWithTheReason) {
  SetMesh({});
  const auto listener = TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                                            [](std::unique_ptr<TcpStream>) {});
  ASSERT_THAT(listener, IsOk());
  end_at_once_ = access_reason::kPolicyChanged;
  ExpectRefused((*listener)->address().ToString(), 401, access_reason::kPolicyChanged);
  end_at_once_ = access_reason::kDrained;
  ExpectRefused((*listener)->address().ToString(), 503, access_reason::kDrained);
}

TEST_F(InboundConnectionTest, SaysForWhatThePeersProxyEndedIt) {
  SetMesh({});
  std::unique_ptr<TcpStream> app;
  const auto listener =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  // Of the table, and a number that nobody knows.
  for (const uint32_t code : {EndCodeOf(access_reason::kIdentityExpired), 0x627972ffu}) {
    Answer answer = Connect((*listener)->address().ToString());
    ASSERT_TRUE(loop_.RunUntil([&app] { return app != nullptr; }));
    answer.stream->ResetWith(code);
    ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
    EXPECT_THAT(TakeLog(),
                HasSubstr(code == 0x627972ffu
                              ? "\"result\":\"allowed\",\"reason\":\"reset-by-downstream\",\"adm"
                              : "\"result\":\"failed\",\"reason\":\"reset-by-downstream\","
                                "\"peer_reason\":\"identity-expired\""));
    app.reset();
  }
}

class InboundByteByByteTest : public InboundConnectionTest {
 protected:
  InboundByteByByteTest() : InboundConnectionTest(MemoryStreamPair::Quota::OneByte()) {}
};

TEST_F(InboundByteByByteTest, AnswersTheSame) {
  ExpectRefused("127.0.0.1:8080", 401, "no-policy-snapshot");
  SetMesh({});
  ExpectRefused("127.0.0.2:8080", 400, access_reason::kBadConnectRequest);
}

}  // namespace
}  // namespace byrnie
