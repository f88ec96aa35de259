#include "proxy/redirected.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/net/socket_address.h"
#include "common/tls/testing/hello_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/end_reason.h"
#include "proxy/hello_room.h"
#include "proxy/reason_set.h"
#include "proxy/routing_table_builder.h"
#include "proxy/sniffer.h"
#include "proxy/testing/redirected_pair.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class RedirectedTest : public RedirectedPairTest {
 protected:
  // A workload that takes direct mTLS. Client and server have one address here, so that one is
  // both.
  void KnowPeer(absl::string_view address = "127.0.0.1") {
    link::v1::AddressUpdate update;
    istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
    workload->set_uid("both");
    workload->set_namespace_("demo");
    workload->set_service_account("client");
    workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
    workload->add_addresses(IpAddress::Parse(address)->ToBytes());
    RoutingTableBuilder routes;
    ASSERT_TRUE(routes.Apply(update).empty());
    auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
    mesh->routes = routes.Build();
    context_.mesh = std::move(mesh);
  }
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

TEST_F(RedirectedTest, HalfAHelloThenAResetIsPassedOn) {
  const std::string half = HelloBytes({"istio"}, "").substr(0, 700);
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), half);
  loop_.RunUntilIdle();
  client->Reset();
  EXPECT_EQ(Await(apps_[0].get(), half.size()), half);
  EXPECT_TRUE(loop_.RunUntil([this] {
    uint8_t byte;
    return apps_[0]->Read(absl::MakeSpan(&byte, 1)).status == IoStatus::kError;
  }));
  AwaitEnd();
  EXPECT_THAT(PeekLog(), AllOf(HasSubstr("\"reason\":\"reset-by-downstream\""),
                               HasSubstr(absl::StrCat("\"bytes_sent\":", half.size()))));
}

// Whoever gives up is noticed while nobody can be asked to read: within two looks.
TEST_F(RedirectedTest, AResetEndsTheDialOfAnApplicationThatDoesNotAnswer) {
  const FullBacklog app;
  destination_ = app.address();
  for (const bool mtls : {false, true}) {
    auto client = Connect();
    TcpStream* const socket = client.get();
    std::unique_ptr<ByteStream> stream;
    if (mtls) {
      stream = Shake(std::move(client), ca_, peer_);
      ASSERT_THAT(handshake_, IsOk());
    } else {
      stream = std::move(client);
    }
    WriteText(stream.get(), "last words");
    loop_.RunUntilIdle();
    loop_.AdvanceTime(kLastWords);
    loop_.AdvanceTime(kLastWords);
    loop_.RunUntilIdle();
    EXPECT_EQ(registry_.size(), 1u) << "it waits";
    socket->Reset();
    loop_.RunUntilIdle();
    EXPECT_EQ(registry_.size(), 1u) << "what it said may yet be delivered";
    loop_.AdvanceTime(kLastWords);
    loop_.RunUntilIdle();
    loop_.AdvanceTime(kLastWords);
    ASSERT_NO_FATAL_FAILURE(AwaitEnd());
    EXPECT_THAT(TakeLog(), HasSubstr("\"reason\":\"reset-by-downstream\""));
  }
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

TEST_F(RedirectedTest, WhatMeshTlsIsInterruptedByHasAReasonOfItsOwn) {
  const std::string kClear("\x17\x03\x03\0\x05hello", 10);
  for (const bool clear : {true, false}) {
    apps_.clear();
    log_.clear();
    std::unique_ptr<TcpStream> connection = Connect();
    TcpStream* const wire = connection.get();
    const auto client = Shake(std::move(connection), ca_, peer_);
    ASSERT_TRUE(AwaitApp());
    WriteText(client.get(), "question");
    EXPECT_EQ(Await(apps_[0].get(), 8), "question");
    if (clear) {
      WriteText(wire, kClear);
    } else {
      wire->ShutdownWrite();
    }
    AwaitEnd();
    EXPECT_THAT(PeekLog(),
                AllOf(HasSubstr(clear ? "\"result\":\"denied\",\"reason\":\"tls-protocol\""
                                      : "\"result\":\"failed\",\"reason\":\"tls-truncated\""),
                      HasSubstr("\"bytes_sent\":8")));
    const absl::string_view reason = clear ? end_reason::kTlsProtocol : end_reason::kTlsTruncated;
    EXPECT_EQ(metrics_.Refusals()[ReasonIndex(reason)], 1u);
    // What it has got so far is not the whole.
    ASSERT_TRUE(loop_.RunUntil([this] {
      uint8_t byte;
      return apps_[0]->Read(absl::MakeSpan(&byte, 1)).status == IoStatus::kError;
    }));
  }
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
  KnowPeer();
  auto connection = Connect();
  loop_.AdvanceTime(absl::Milliseconds(990));
  loop_.RunUntilIdle();
  EXPECT_THAT(apps_, SizeIs(0));
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

// One may have left this port out of its mesh, and wait for the server's first word.
TEST_F(RedirectedTest, APeerThatUsesMtlsAndSaysNothingHearsTheServerAfterASecond) {
  KnowPeer();
  const auto client = Connect();
  loop_.AdvanceTime(absl::Seconds(1));
  ASSERT_TRUE(AwaitApp());
  WriteText(apps_[0].get(), "220");
  EXPECT_EQ(Await(client.get(), 3), "220");
  EXPECT_EQ(metrics_.first_bytes.server_first->value(), 1u);
  // Where both are silent a peer that is merely late may still prove itself.
  auto late = Connect();
  loop_.AdvanceTime(absl::Seconds(1));
  ASSERT_TRUE(AwaitApp(2));
  loop_.AdvanceTime(absl::Minutes(30));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 2u);
  const auto tls = Shake(std::move(late), ca_, peer_);
  EXPECT_THAT(handshake_, IsOk());
  WriteText(tls.get(), "question");
  EXPECT_EQ(Await(apps_[1].get(), 8), "question");
}

TEST_F(RedirectedTest, AGreetingThatWaitsForAPeerIsHeardAfterASecond) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  KnowPeer();
  WriteText(apps_[0].get(), "220");
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Milliseconds(600));
  loop_.RunUntilIdle();
  EXPECT_EQ(ReadText(client.get()), "");
  // Whatever else the server says, nobody waits longer.
  WriteText(apps_[0].get(), " hello");
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Milliseconds(400));
  EXPECT_EQ(Await(client.get(), 9), "220 hello");
}

// Whoever has proven nothing takes no room from connections, nor from other sources' hellos; where
// plaintext may pass a hello without an end needs none.
TEST_F(RedirectedTest, ALongHelloThatFindsNoRoomIsCarriedUntouched) {
  std::string part = HelloBytes({"istio"}, "");
  part[6] = 0;
  part[7] = '\x3f';
  part[8] = '\xf0';  // Of a message of nearly 16 KiB.
  part = Refragment(part, 1).substr(0, Sniffer::kFree / 6 * 6);
  HelloRoom::Part others(&hello_room_, *IpAddress::Parse("127.0.0.1"));
  ASSERT_TRUE(others.Grow(HelloRoom::kPerSource));
  EXPECT_EQ(metrics_.unfinished_hello_bytes->value(), int64_t{HelloRoom::kPerSource});
  const auto client = Connect();
  WriteText(client.get(), part);
  loop_.RunUntilIdle();
  EXPECT_EQ(metrics_.first_bytes.unfinished_hello->value(), 0u);
  const std::string more = std::string("\x16\3\1\0\x40", 5) + std::string(64, 'x');
  WriteText(client.get(), more);
  ASSERT_TRUE(AwaitApp());
  EXPECT_EQ(Await(apps_[0].get(), part.size() + more.size()), part + more);
  EXPECT_EQ(metrics_.first_bytes.unfinished_hello->value(), 1u);
  EXPECT_EQ(hello_room_.used(), HelloRoom::kPerSource);
}

TEST_F(RedirectedTest, AConnectionOnWhichNobodySpeaksEndsWhenItIsIdle) {
  context_.relay_options.idle_timeout = absl::Minutes(2);
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  loop_.AdvanceTime(absl::Seconds(119));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Seconds(1));
  AwaitEnd();
  EXPECT_THAT(PeekLog(),
              AllOf(HasSubstr("\"reason\":\"idle-timeout\""), HasSubstr("\"result\":\"failed\""),
                    HasSubstr("neither end has said anything"), Not(HasSubstr("tunnel_ms"))));
  // A word counts for both ends.
  const auto other = Connect();
  ASSERT_TRUE(AwaitApp(2));
  loop_.AdvanceTime(absl::Seconds(119));
  WriteText(other.get(), "x");
  EXPECT_EQ(Await(apps_[1].get(), 1), "x");
  loop_.AdvanceTime(absl::Seconds(119));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
}

TEST_F(RedirectedTest, AConnectionOnWhichNobodySpeaksEndsWhenItIsOld) {
  config_.max_connection_age = absl::Hours(1);
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  loop_.AdvanceTime(absl::Minutes(53));
  registry_.AbortAged();
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Minutes(14));
  registry_.AbortAged();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), HasSubstr("\"reason\":\"max-age\""));
}

// Who is silent for the second of a peer that speaks first is held against what holds then: it has
// to prove itself, like those that come later.
TEST_F(RedirectedTest, NothingIsDialledForASilentPeerWhenPlaintextMayNotPassAnyMore) {
  KnowPeer();
  const auto client = Connect();
  loop_.AdvanceTime(absl::Milliseconds(500));
  link::v1::PolicyUpdate policies;
  AddPolicy(&policies, istio::security::ALLOW)
      ->add_principals()
      ->set_exact("cluster.local/ns/demo/sa/other");
  SetPolicies(policies);
  registry_.Recheck();
  for (int half = 0; half < 9; ++half) {
    loop_.AdvanceTime(absl::Milliseconds(500));
    loop_.RunUntilIdle();
  }
  ExpectRefused("handshake-silent", "no byte within 5s");
}

// What the client thinks about is nobody's stage.
TEST_F(RedirectedTest, TheStageOfDiallingEndsWithTheConnection) {
  const auto client = Connect();
  ASSERT_TRUE(AwaitApp());
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(12));
  WriteText(client.get(), "x");
  EXPECT_EQ(Await(apps_[0].get(), 1), "x");
  client->ShutdownWrite();
  apps_[0]->ShutdownWrite();
  AwaitEnd();
  EXPECT_THAT(PeekLog(), AllOf(HasSubstr("\"dial_ms\":0"), HasSubstr("\"first_sent_ms\":12000")));
}

TEST_F(RedirectedTest, AServerIsHeardAtOnceByWhoIsNotKnownAndDiscoveryAskedBeside) {
  KnowPeer("::1");
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
  KnowPeer();
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

// As many clients of one address as wait for their servers' signatures.
// As a mesh of Istio says strict: DENY whoever has no identity.
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
