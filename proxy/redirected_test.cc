#include "proxy/redirected.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "common/tls/testing/hello_bytes.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/handshake_turns.h"
#include "proxy/routing_table_builder.h"
#include "proxy/testing/data_path.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

void WriteText(ByteStream* stream, absl::string_view text) {
  stream->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

std::string ReadText(ByteStream* stream) {
  std::string text;
  uint8_t buffer[16384];
  while (true) {
    const IoResult result = stream->Read(absl::MakeSpan(buffer));
    if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return text;
    text.append(reinterpret_cast<const char*>(buffer), result.bytes);
    if (result.bytes == 0) return text;
  }
}

// A client and an application on real sockets, and the proxy between them.
class RedirectedTest : public DataPathTest {
 protected:
  RedirectedTest()
      : own_(ca_.IssueSvid("/ns/demo/sa/server")), peer_(ca_.IssueSvid("/ns/demo/sa/client")) {
    signer_.AddKey(own_);
    signer_.AddKey(peer_);
    config_.inbound.strict = false;
    app_listener_ = *TcpListener::Create(
        &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
        [this](std::unique_ptr<TcpStream> stream) { apps_.push_back(std::move(stream)); });
    proxy_listener_ =
        *TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                             [this](std::unique_ptr<TcpStream> stream) {
                               registry_.Add(std::make_unique<RedirectedConnection>(
                                   &context_, std::move(stream), app_listener_->address()));
                             });
    SetPolicies({});
  }
  ~RedirectedTest() override { registry_.AbortAll(access_reason::kDrained, ""); }

  void SetPolicies(const link::v1::PolicyUpdate& policies) {
    auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
    if (mesh->identity == nullptr) {
      auto identity = std::make_shared<IdentityInUse>();
      identity->identity = *IdentitySnapshot::Create(1, own_.chain, ca_.Bundles(), loop_.WallNow());
      identity->direct_server =
          *TlsContext::Create(TlsRole::kServer, kDirectAlpn, identity->identity, &signer_);
      mesh->identity = std::move(identity);
    }
    mesh->policies = *PolicySet::Create(1, policies.policies());
    context_.mesh = std::move(mesh);
  }
  static istio::security::Match* AddPolicy(link::v1::PolicyUpdate* policies,
                                           istio::security::Action action) {
    istio::security::Authorization* policy = policies->add_policies();
    policy->set_name(absl::StrCat("p", policies->policies_size()));
    policy->set_namespace_("demo");
    policy->set_scope(istio::security::NAMESPACE);
    policy->set_action(action);
    return policy->add_rules()->add_clauses()->add_matches();
  }
  uint16_t app_port() const { return app_listener_->address().port(); }

  std::unique_ptr<TcpStream> Connect() {
    std::unique_ptr<TcpStream> client;
    const auto attempt =
        TcpStream::Connect(&loop_, proxy_listener_->address(), {},
                           [&client](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                             client = *std::move(stream);
                           });
    const size_t before = registry_.size();
    EXPECT_TRUE(loop_.RunUntil(
        [&] { return client != nullptr && (registry_.size() > before || !PeekLog().empty()); }));
    loop_.RunUntilIdle();
    return client;
  }
  // A mesh peer's side of direct mTLS, over a plain connection.
  std::unique_ptr<TlsStream> Shake(std::unique_ptr<TcpStream> client, const TestCa& ca,
                                   const TestIdentity& identity) {
    auto snapshot = *IdentitySnapshot::Create(1, identity.chain, ca.Bundles(), loop_.WallNow());
    auto context = *TlsContext::Create(TlsRole::kClient, kDirectAlpn, snapshot, &signer_);
    TlsStream::Options options;
    options.allowed_peers = {*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server")};
    done_ = false;
    auto tls =
        TlsStream::Create(&loop_, std::move(client), context, options, [this](absl::Status status) {
          done_ = true;
          handshake_ = std::move(status);
        });
    EXPECT_TRUE(loop_.RunUntil([this] { return done_; }));
    return tls;
  }
  std::string Await(ByteStream* stream, size_t size) {
    std::string text;
    EXPECT_TRUE(loop_.RunUntil([&] {
      text += ReadText(stream);
      return text.size() >= size;
    })) << text;
    return text;
  }
  bool AwaitApp(size_t count = 1) {
    return loop_.RunUntil([this, count] { return apps_.size() >= count; });
  }
  void AwaitEnd() {
    ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
    loop_.RunUntilIdle();
  }
  const std::string& PeekLog() { return log_ += TakeLog(); }
  void ExpectRefused(absl::string_view reason, absl::string_view detail = "") {
    AwaitEnd();
    EXPECT_THAT(PeekLog(),
                AllOf(HasSubstr(absl::StrCat("\"reason\":\"", reason, "\"")), HasSubstr(detail)));
    EXPECT_THAT(apps_, SizeIs(0)) << "the application was dialled";
  }

  const TestIdentity own_;
  const TestIdentity peer_;
  LocalSigner signer_;
  std::unique_ptr<TcpListener> app_listener_;
  std::unique_ptr<TcpListener> proxy_listener_;
  std::vector<std::unique_ptr<TcpStream>> apps_;
  bool done_ = false;
  absl::Status handshake_ = absl::UnknownError("not done");
  std::string log_;
};

TEST_F(RedirectedTest, AServerThatSpeaksFirstIsHeardAtOnce) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  WriteText(apps_[0].get(), "220 hello\r\n");
  EXPECT_EQ(Await(client.get(), 11), "220 hello\r\n");
  WriteText(client.get(), "EHLO\r\n");
  EXPECT_EQ(Await(apps_[0].get(), 6), "EHLO\r\n");
  EXPECT_EQ(metrics_.first_bytes.server_first->value(), 1u);
}

TEST_F(RedirectedTest, AClientThatSpeaksFirstIsHeardAtOnce) {
  const auto client = Connect();
  WriteText(client.get(), "GET /\r\n");
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(Await(apps_[0].get(), 7), "GET /\r\n");
  WriteText(apps_[0].get(), "200\r\n");
  EXPECT_EQ(Await(client.get(), 5), "200\r\n");
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), AllOf(HasSubstr("\"protocol\":\"plaintext\""),
                               HasSubstr("\"admitted_by\":\"default-allow-plaintext\""),
                               HasSubstr("\"bytes_sent\":7,\"bytes_received\":5")));
  EXPECT_EQ(metrics_.first_bytes.plaintext->value(), 1u);
}

TEST_F(RedirectedTest, ASilentConnectionIsAnIdleOne) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  loop_.AdvanceTime(absl::Hours(1));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  WriteText(client.get(), "at last");
  EXPECT_EQ(Await(apps_[0].get(), 7), "at last");
}

TEST_F(RedirectedTest, TheApplicationsOwnTlsIsNotTouched) {
  const std::string hello = HelloBytes({"h2"}, "a.example");
  const auto client = Connect();
  WriteText(client.get(), hello);
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(Await(apps_[0].get(), hello.size()), hello);
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("\"protocol\":\"tls\""));
}

TEST_F(RedirectedTest, HalfAHelloThenAnEndIsPassedOn) {
  const std::string half = HelloBytes({"istio"}, "").substr(0, 700);
  const auto client = Connect();
  WriteText(client.get(), half);
  client->ShutdownWrite();
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(Await(apps_[0].get(), half.size()), half);
}

TEST_F(RedirectedTest, MeshTlsTakesOverTheConnectionThatWasDialled) {
  const auto client = Shake(Connect(), ca_, peer_);
  EXPECT_THAT(handshake_, IsOk());
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "question");
  EXPECT_EQ(Await(apps_[0].get(), 8), "question");
  WriteText(apps_[0].get(), "answer");
  EXPECT_EQ(Await(client.get(), 6), "answer");
  EXPECT_THAT(apps_, SizeIs(1));
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(),
              AllOf(HasSubstr("\"protocol\":\"mtls\""),
                    HasSubstr("\"admitted_by\":\"default-allow-same-trust-domain\""),
                    HasSubstr("\"peer_identity\":\"spiffe://cluster.local/ns/demo/sa/client\""),
                    HasSubstr("\"tls_version\":\"TLSv1.3\"")));
  EXPECT_EQ(metrics_.first_bytes.mtls->value(), 1u);
  EXPECT_EQ(direct_turns_.size(), 0u);
}

TEST_F(RedirectedTest, AGreetingBehindTheHelloGoesThroughMeshTls) {
  signer_.Hold();
  auto connection = Connect();
  ASSERT_TRUE(AwaitApp());
  auto snapshot = *IdentitySnapshot::Create(1, peer_.chain, ca_.Bundles(), loop_.WallNow());
  auto client =
      TlsStream::Create(&loop_, std::move(connection),
                        *TlsContext::Create(TlsRole::kClient, kDirectAlpn, snapshot, &signer_), {},
                        [this](absl::Status status) { handshake_ = std::move(status); });
  ASSERT_TRUE(loop_.RunUntil([this] { return signer_.held() > 0; }));
  WriteText(apps_[0].get(), "220 hello\r\n");
  loop_.RunUntilIdle();
  signer_.Release();
  EXPECT_EQ(Await(client.get(), 11), "220 hello\r\n");
  EXPECT_THAT(handshake_, IsOk());
}

TEST_F(RedirectedTest, AHelloBehindTheGreetingIsPassedOn) {
  const std::string hello = HelloBytes({"istio"}, "");
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  WriteText(apps_[0].get(), "220");
  EXPECT_EQ(Await(client.get(), 3), "220");
  WriteText(client.get(), hello);
  EXPECT_EQ(Await(apps_[0].get(), hello.size()), hello);
}

TEST_F(RedirectedTest, FromAPeerThatUsesMtlsTheHelloIsWaitedFor) {
  link::v1::AddressUpdate update;
  for (const char* name : {"server", "client"}) {
    istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
    workload->set_uid(name);
    workload->set_namespace_("demo");
    workload->set_service_account(name);
    workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  }
  // Client and server have one address here, so that one workload is both.
  update.mutable_upserts(0)->mutable_workload()->add_addresses(std::string("\x7f\0\0\1", 4));
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->routes = routes.Build();
  context_.mesh = std::move(mesh);
  auto connection = Connect();
  EXPECT_THAT(apps_, SizeIs(0));
  loop_.AdvanceTime(absl::Minutes(30));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  const auto client = Shake(std::move(connection), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  WriteText(apps_[0].get(), "220");
  EXPECT_EQ(Await(client.get(), 3), "220");
  // Plaintext from there is passed on once it is known to be that.
  const auto plain = Connect();
  WriteText(plain.get(), "plain");
  ASSERT_TRUE(AwaitApp(2));
  EXPECT_EQ(Await(apps_[1].get(), 5), "plain");
}

TEST_F(RedirectedTest, AServerIsHeardAtOnceByWhoIsNotKnownAndDiscoveryAskedBeside) {
  link::v1::AddressUpdate update;
  istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
  workload->set_uid("server");
  workload->set_namespace_("demo");
  workload->set_service_account("server");
  workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  workload->add_addresses(std::string(15, '\0') + '\1');
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->routes = routes.Build();
  context_.mesh = std::move(mesh);
  // The client is 127.0.0.1; what it asks for is the workload's address.
  proxy_listener_ = *TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {}, [this](std::unique_ptr<TcpStream> stream) {
        registry_.Add(std::make_unique<RedirectedConnection>(
            &context_, std::move(stream), SocketAddress(*IpAddress::Parse("::1"), app_port())));
      });
  const auto client = Connect();
  ASSERT_THAT(questions_, SizeIs(1));
  EXPECT_EQ(questions_[0].second.ToString(), "127.0.0.1");
  // Nobody listens on the IPv6 address, which shows that it is dialled.
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("connect-failed"));
  // Whatever came of it, nobody asks again soon.
  log_.clear();
  const auto next = Connect();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("connect-failed"));
  EXPECT_THAT(questions_, SizeIs(1));
  loop_.AdvanceTime(absl::Seconds(1));
  log_.clear();
  const auto later = Connect();
  EXPECT_THAT(questions_, SizeIs(2));
}

TEST_F(RedirectedTest, AGreetingWaitsForWhomDiscoveryKnowsByThen) {
  auto connection = Connect();
  ASSERT_TRUE(AwaitApp());
  link::v1::AddressUpdate update;
  istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
  workload->set_uid("both");
  workload->set_namespace_("demo");
  workload->set_service_account("client");
  workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  workload->add_addresses(std::string("\x7f\0\0\1", 4));
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->routes = routes.Build();
  context_.mesh = std::move(mesh);
  WriteText(apps_[0].get(), "220");
  loop_.RunUntilIdle();
  const auto client = Shake(std::move(connection), ca_, peer_);
  EXPECT_THAT(handshake_, IsOk());
  EXPECT_EQ(Await(client.get(), 3), "220");
}

TEST_F(RedirectedTest, AGreetingWaitsForTheRestOfAHello) {
  const std::string hello = HelloBytes({"istio"}, "");
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), hello.substr(0, 100));
  WriteText(apps_[0].get(), "220 hello\r\n");
  loop_.RunUntilIdle();
  EXPECT_EQ(ReadText(client.get()), "");
  WriteText(client.get(), hello.substr(100));
  // The answer is a handshake, and the greeting is not in it.
  EXPECT_THAT(Await(client.get(), 100), AllOf(StartsWith("\x16\x03"), Not(HasSubstr("hello"))));
}

TEST_F(RedirectedTest, WhoStopsInAHelloIsPassedOnAfterFiveSeconds) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "\x16\x03");
  WriteText(apps_[0].get(), "220");
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Milliseconds(4900));
  loop_.RunUntilIdle();
  EXPECT_EQ(ReadText(client.get()), "");
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(Await(client.get(), 3), "220");
  EXPECT_EQ(Await(apps_[0].get(), 2), "\x16\x03");
  EXPECT_EQ(metrics_.first_bytes.unfinished_hello->value(), 1u);
  EXPECT_EQ(metrics_.first_bytes.server_first->value(), 0u);
}

TEST_F(RedirectedTest, StrictRefusesPlaintextAtItsFirstByte) {
  config_.inbound.strict = true;
  const auto client = Connect();
  EXPECT_EQ(registry_.size(), 1u);
  WriteText(client.get(), "G");
  ExpectRefused("plaintext-refused", "plaintext-in-strict-mode");
}

TEST_F(RedirectedTest, StrictRefusesTheApplicationsOwnTls) {
  config_.inbound.strict = true;
  const auto client = Connect();
  WriteText(client.get(), HelloBytes({"h2"}, "a.example"));
  ExpectRefused("plaintext-refused", "application-tls-in-strict-mode");
}

TEST_F(RedirectedTest, StrictRefusesAnEndWithoutAByte) {
  config_.inbound.strict = true;
  const auto client = Connect();
  client->ShutdownWrite();
  ExpectRefused("plaintext-refused", "nothing");
}

TEST_F(RedirectedTest, StrictWaitsFiveSecondsForTheRestOfAHello) {
  config_.inbound.strict = true;
  const auto client = Connect();
  WriteText(client.get(), HelloBytes({"istio"}, "").substr(0, 700));
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Milliseconds(4900));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(100));
  ExpectRefused("client-hello-timeout", "700 bytes of an unfinished ClientHello after 5s");
}

TEST_F(RedirectedTest, StrictWaitsOneSecondForASilentClient) {
  config_.inbound.strict = true;
  const auto client = Connect();
  loop_.AdvanceTime(absl::Milliseconds(900));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(100));
  ExpectRefused("handshake-silent", "no byte within 1s");
  EXPECT_EQ(direct_arrivals_.size(), 0u);
}

TEST_F(RedirectedTest, StrictCountsNobodyAsAConnectionBeforeThePeerIsVerified) {
  config_.inbound.strict = true;
  const Gauge& open = *metrics_.direction(AccessRecord::Direction::kInbound).open;
  const auto silent = Connect();
  const auto half = Connect();
  WriteText(half.get(), HelloBytes({"istio"}, "").substr(0, 700));
  loop_.RunUntilIdle();
  EXPECT_EQ(open.value(), 0);
  EXPECT_EQ(metrics_.handshakes_open->value(), 2);
  Overload::Limits limits;
  limits.connections = 1;
  Overload overload(limits, &open, metrics_.direction(AccessRecord::Direction::kOutbound).open,
                    metrics_.shedding);
  context_.overload = &overload;
  const auto client = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(open.value(), 1);
  EXPECT_EQ(metrics_.handshakes_open->value(), 2);
  const auto other = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(loop_.RunUntil([this] { return !PeekLog().empty(); }));
  EXPECT_THAT(PeekLog(), HasSubstr("\"reason\":\"too-many-connections\""));
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
  EXPECT_EQ(open.value(), 0);
  EXPECT_EQ(metrics_.handshakes_open->value(), 0);
  EXPECT_EQ(metrics_.direction(AccessRecord::Direction::kInbound).opened->value(), 4u);
  context_.overload = &overload_;
}

TEST_F(RedirectedTest, TheOldestSilentConnectionOfASourceMakesRoom) {
  config_.inbound.strict = true;
  HandshakeTurns turns(&loop_, {10, 2}, &counts_.direct_arrivals, metrics_.handshakes_open);
  context_.direct_arrivals = &turns;
  const auto first = Connect();
  const auto second = Connect();
  const auto third = Connect();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 2; }));
  EXPECT_THAT(PeekLog(), AllOf(HasSubstr("\"reason\":\"handshake-evicted\""),
                               HasSubstr("silent, and the room was needed")));
  EXPECT_EQ(turns.size(), 2u);
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
  EXPECT_EQ(turns.size(), 0u);
  context_.direct_arrivals = &direct_arrivals_;
}

TEST_F(RedirectedTest, StrictDialsNobodyBeforeThePeerIsVerified) {
  config_.inbound.strict = true;
  signer_.Hold();
  auto connection = Connect();
  auto snapshot = *IdentitySnapshot::Create(1, peer_.chain, ca_.Bundles(), loop_.WallNow());
  auto client =
      TlsStream::Create(&loop_, std::move(connection),
                        *TlsContext::Create(TlsRole::kClient, kDirectAlpn, snapshot, &signer_), {},
                        [](absl::Status) {});
  // Both ends' signatures, one after the other; until both are there nobody is verified.
  ASSERT_TRUE(loop_.RunUntil([this] { return signer_.held() == 1; }));
  EXPECT_THAT(apps_, SizeIs(0));
  EXPECT_EQ(direct_turns_.size(), 1u);
  signer_.Release();
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[0].get(), 5), "hello");
}

// As many clients of one address as wait for their servers' signatures.
TEST_F(RedirectedTest, OneSourceHasNoMoreHandshakesThanItsShare) {
  config_.inbound.strict = true;
  HandshakeTurns turns(&loop_, {10, 2}, &counts_.direct_handshakes, metrics_.handshakes_open);
  context_.direct_turns = &turns;
  const std::string hello = HelloBytes({"istio"}, "");
  signer_.Hold();
  std::vector<std::unique_ptr<TcpStream>> clients;
  for (unsigned i = 0; i < 3; ++i) {
    clients.push_back(Connect());
    WriteText(clients.back().get(), hello);
    EXPECT_TRUE(loop_.RunUntil([&] { return turns.size() == std::min(i + 1, 2u); }));
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 2; }));
  EXPECT_THAT(PeekLog(), HasSubstr("\"reason\":\"handshake-source-limit\""));
  EXPECT_EQ(turns.size(), 2u);
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
  EXPECT_EQ(turns.size(), 0u);
  context_.direct_turns = &direct_turns_;
}

TEST_F(RedirectedTest, AHandshakeMakesRoomForThatOfALessBusySource) {
  config_.inbound.strict = true;
  HandshakeTurns turns(&loop_, {2, 2}, &counts_.direct_handshakes, metrics_.handshakes_open);
  context_.direct_turns = &turns;
  signer_.Hold();
  std::vector<std::unique_ptr<TcpStream>> clients;
  for (size_t i = 0; i < 2; ++i) {
    clients.push_back(Connect());
    WriteText(clients.back().get(), HelloBytes({"istio"}, ""));
    ASSERT_TRUE(loop_.RunUntil([&turns, i] { return turns.size() == i + 1; }));
  }
  loop_.RunUntilIdle();
  class Other final : public HandshakeTurns::Client {
    void LookAgain() override {}
    void OnTurn() override {}
    void OnEvicted() override {}
  } other;
  EXPECT_EQ(turns.Join(*IpAddress::Parse("10.0.0.9"), &other).outcome,
            HandshakeQueue::Outcome::kAdmitted);
  loop_.RunUntilIdle();
  EXPECT_THAT(PeekLog(), HasSubstr("\"reason\":\"handshake-evicted\""));
  EXPECT_EQ(registry_.size(), 1u);
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
  EXPECT_EQ(turns.size(), 1u);
  context_.direct_turns = &direct_turns_;
}

TEST_F(RedirectedTest, AStrangersCertificateIsRefused) {
  config_.inbound.strict = true;
  const TestCa stranger("cluster.local", loop_.WallNow());
  const TestIdentity identity = stranger.IssueSvid("/ns/demo/sa/client");
  signer_.AddKey(identity);
  // It trusts us, so that its own certificate is what fails.
  auto snapshot = *IdentitySnapshot::Create(1, identity.chain, stranger.Bundles(), loop_.WallNow());
  auto client = TlsStream::Create(
      &loop_, Connect(), *TlsContext::Create(TlsRole::kClient, kDirectAlpn, snapshot, &signer_), {},
      [](absl::Status) {});
  ExpectRefused("tls-failed");
}

TEST_F(RedirectedTest, APolicyThatDeniesThePeerKeepsItFromTheApplication) {
  config_.inbound.strict = true;
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::DENY)
      ->add_principals()
      ->set_exact("cluster.local/ns/demo/sa/client");
  SetPolicies(policies);
  const auto client = Shake(Connect(), ca_, peer_);
  WriteText(client.get(), "who does not wait");
  ExpectRefused("policy-deny", "demo/p1");
  // It is told as far as TLS has words for it.
  ASSERT_TRUE(loop_.RunUntil([&client] {
    ReadText(client.get());
    return !client->error().ok();
  }));
  EXPECT_THAT(client->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
}

TEST_F(RedirectedTest, APolicyThatNeedsAnIdentityMakesThePortStrict) {
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::ALLOW)
      ->add_principals()
      ->set_exact("cluster.local/ns/demo/sa/client");
  SetPolicies(policies);
  auto plain = Connect();
  EXPECT_THAT(apps_, SizeIs(0));
  WriteText(plain.get(), "G");
  ExpectRefused("no-allow-match");
  const auto silent = Connect();
  loop_.AdvanceTime(absl::Seconds(1));
  ExpectRefused("handshake-silent");
  const auto client = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[0].get(), 5), "hello");
}

// As a mesh of Istio says strict: DENY whoever has no identity.
TEST_F(RedirectedTest, StrictModeMayComeAsAPolicy) {
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::DENY)->add_not_principals()->mutable_presence();
  SetPolicies(policies);
  const auto plain = Connect();
  WriteText(plain.get(), "G");
  ExpectRefused("policy-deny");
  const auto client = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[0].get(), 5), "hello");
}

TEST_F(RedirectedTest, APortMayHaveAModeOfItsOwn) {
  config_.inbound.strict = true;
  config_.inbound.strict_at[app_port()] = false;
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  config_.inbound.strict = false;
  config_.inbound.strict_at[app_port()] = true;
  const auto refused = Connect();
  WriteText(refused.get(), "G");
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 1; }));
  EXPECT_THAT(apps_, SizeIs(1));
}

TEST_F(RedirectedTest, ADeclaredProbePassesInStrictMode) {
  config_.inbound.strict = true;
  config_.inbound.probe_ports = {app_port()};
  config_.inbound.probe_sources = *ParseCidrBlocks("127.0.0.1");
  // Even while there are no policies: the kubelet must not kill a pod for that.
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->policies = nullptr;
  context_.mesh = std::move(mesh);
  const auto client = Connect();
  WriteText(client.get(), "GET /healthz\r\n");
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(Await(apps_[0].get(), 14), "GET /healthz\r\n");
  registry_.Recheck();
  EXPECT_EQ(registry_.size(), 1u);
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), AllOf(HasSubstr("\"protocol\":\"probe\""),
                               HasSubstr("\"admitted_by\":\"declared-probe\"")));
  EXPECT_EQ(metrics_.first_bytes.probe->value(), 1u);
}

TEST_F(RedirectedTest, AProbeFromElsewhereIsPlaintext) {
  config_.inbound.strict = true;
  config_.inbound.probe_ports = {app_port()};
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->gateways = std::make_shared<const absl::flat_hash_set<IpAddress>>(
      absl::flat_hash_set<IpAddress>{*IpAddress::Parse("10.0.0.1")});
  context_.mesh = std::move(mesh);
  const auto client = Connect();
  WriteText(client.get(), "GET /healthz\r\n");
  ExpectRefused("plaintext-refused");
}

TEST_F(RedirectedTest, WithoutPoliciesNobodyIsHeard) {
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->policies = nullptr;
  context_.mesh = std::move(mesh);
  const auto client = Connect();
  ExpectRefused("no-policy-snapshot");
}

TEST_F(RedirectedTest, APolicyThatComesLaterEndsASilentConnection) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  registry_.Recheck();
  EXPECT_EQ(registry_.size(), 1u);
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::DENY)->add_destination_ports(app_port());
  SetPolicies(policies);
  registry_.Recheck();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("policy-changed"));
}

TEST_F(RedirectedTest, APolicyThatComesLaterEndsMeshTls) {
  const auto client = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "hello");
  Await(apps_[0].get(), 5);
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::DENY)
      ->add_principals()
      ->set_exact("cluster.local/ns/demo/sa/client");
  SetPolicies(policies);
  registry_.Recheck();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("policy-changed"));
}

TEST_F(RedirectedTest, AClientThatLeavesTakesTheApplicationsConnectionAlong) {
  auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  client.reset();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("reset-by-downstream"));
  EXPECT_TRUE(loop_.RunUntil([this] {
    uint8_t byte;
    return apps_[0]->Read(absl::MakeSpan(&byte, 1)).status == IoStatus::kError;
  }));
}

TEST_F(RedirectedTest, AnApplicationThatDoesNotListenIsAnsweredAtOnce) {
  const auto address = app_listener_->address();
  app_listener_.reset();
  proxy_listener_ = *TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                                         [this, address](std::unique_ptr<TcpStream> stream) {
                                           registry_.Add(std::make_unique<RedirectedConnection>(
                                               &context_, std::move(stream), address));
                                         });
  const auto client = Connect();
  ExpectRefused("connect-failed");
}

TEST_F(RedirectedTest, TheProxyHeaderComesFirstAndIsNotCounted) {
  config_.inbound.proxy_protocol_ports = {app_port()};
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  // A server that greets waits for the header first.
  const std::string header = Await(apps_[0].get(), 28);
  EXPECT_THAT(header,
              AllOf(StartsWith(absl::string_view("\r\n\r\n\0\r\nQUIT\n\x21\x11", 14)), SizeIs(28)));
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[0].get(), 5), "hello");
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("\"bytes_sent\":5,\"bytes_received\":0"));
}

TEST_F(RedirectedTest, TheProxyHeaderOfMeshTlsNamesThePeer) {
  config_.inbound.proxy_protocol_ports = {app_port()};
  const auto client = Shake(Connect(), ca_, peer_);
  // The connection that was told of nobody is given up for one that is told.
  ASSERT_TRUE(AwaitApp(2));
  const std::string id = "spiffe://cluster.local/ns/demo/sa/client";
  const std::string header = Await(apps_[1].get(), 28 + 3 + id.size());
  EXPECT_EQ(header.substr(28 + 3), id);
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[1].get(), 5), "hello");
  EXPECT_TRUE(loop_.RunUntil([this] {
    uint8_t buffer[64];
    return apps_[0]->Read(absl::MakeSpan(buffer)).status == IoStatus::kError;
  }));
}

}  // namespace
}  // namespace byrnie
