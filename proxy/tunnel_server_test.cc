#include "proxy/tunnel_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/http2/connect_session.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/connect_refusal.h"
#include "proxy/overload.h"
#include "proxy/reason_set.h"
#include "proxy/testing/data_path.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// Real connections over loopback, whose addresses 127.0.0.x are sources of their own; the loop's
// time is the test's.
class TunnelServerTest : public DataPathTest {
 protected:
  // A peer of the mesh: its TLS and HTTP/2.
  struct Peer final : ConnectSession::Delegate {
    void OnConnect(std::unique_ptr<ConnectStream>, ConnectRequest) override {}
    void OnGoaway() override { ++goaways; }
    void OnStreamsChanged() override {}
    void OnSessionClosed(const absl::Status&) override { closed = true; }

    std::unique_ptr<TlsStream> tls;
    std::unique_ptr<ConnectSession> session;
    absl::Status handshake = absl::UnknownError("under way");
    int goaways = 0;
    bool closed = false;
  };

  void Listen() {
    if (context_.mesh->identity == nullptr) SetMesh({});
    server_ = std::make_unique<TunnelServer>(&context_, ConnectSession::Options());
    listener_ =
        *TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                             [this](std::unique_ptr<TcpStream> stream) {
                               ++accepted_;
                               (other_ != nullptr ? other_ : server_)->Accept(std::move(stream));
                             });
  }
  // From here on connections come to another worker.
  void GoOnWithAnotherWorker() {
    other_ = std::make_unique<TunnelServer>(&context_, ConnectSession::Options());
  }
  ~TunnelServerTest() override {
    streams_.clear();
    peers_.clear();
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.RunUntilIdle();
  }

  // A connection from 127.0.0.`host`, accepted.
  int Dial(int host = 1) {
    sockets_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Bind(sockets_.back().get(), host);
    const int before = accepted_;
    EXPECT_TRUE(loop_.RunUntil([&] { return accepted_ > before; }));
    return sockets_.back().get();
  }
  // `raw`: what is sent over TLS is the test's own.
  Peer* Handshake(int host = 1, const char* path = "/ns/demo/sa/client", bool raw = false) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Bind(fd.get(), host);
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    peers_.push_back(std::make_unique<Peer>());
    Peer* peer = peers_.back().get();
    const TestIdentity identity = ca_.IssueSvid(path);
    signer_.AddKey(identity);
    auto snapshot = *IdentitySnapshot::Create(1, identity.chain, ca_.Bundles(), loop_.WallNow());
    peer->tls = TlsStream::Create(
        &loop_, *TcpStream::Create(&loop_, std::move(fd)),
        *TlsContext::Create(TlsRole::kClient, "h2", std::move(snapshot), &signer_), {},
        [this, peer, raw](absl::Status status) {
          peer->handshake = status;
          if (!status.ok() || raw) return;
          peer->session = ConnectSession::CreateClient(&loop_, std::move(peer->tls), {}, peer);
        });
    return peer;
  }
  // One whose tunnel is open at both ends.
  Peer* OpenTunnel(int host = 1, const char* path = "/ns/demo/sa/client") {
    const size_t before = OpenTunnels();
    Peer* peer = Handshake(host, path);
    EXPECT_TRUE(loop_.RunUntil([&] { return OpenTunnels() > before; }));
    EXPECT_THAT(peer->handshake, IsOk());
    return peer;
  }
  // The status that the answer to one more connection through the tunnel has; it stays open.
  int Connect(Peer* peer) {
    if (application_ == nullptr) {
      application_ = *TcpListener::Create(
          &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
          [this](std::unique_ptr<TcpStream> stream) { apps_.push_back(std::move(stream)); });
    }
    int status = 0;
    auto stream = peer->session->OpenStream(
        {application_->address().ToString(), {}},
        [&status](absl::Status, int answer, const HeaderList&) { status = answer; });
    EXPECT_THAT(stream, IsOk());
    EXPECT_TRUE(loop_.RunUntil([&] { return status != 0; }));
    streams_.push_back(*std::move(stream));
    return status;
  }
  // A peer whose HTTP/2 is the test's own, from behind the preface and its SETTINGS.
  Peer* OpenRawTunnel() {
    const size_t before = OpenTunnels();
    Peer* peer = Handshake(1, "/ns/demo/sa/client", /*raw=*/true);
    EXPECT_TRUE(loop_.RunUntil([&] { return OpenTunnels() > before; }));
    Say(peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, ""));
    return peer;
  }
  static std::string Frame(char type, char flags, char stream, const std::string& payload) {
    std::string frame = {0,
                         static_cast<char>(payload.size() >> 8),
                         static_cast<char>(payload.size()),
                         type,
                         flags,
                         0,
                         0,
                         0,
                         stream};
    return frame + payload;
  }
  static void Say(Peer* peer, const std::string& bytes) {
    peer->tls->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
  uint64_t Counted(absl::string_view reason) const {
    return metrics_.Refusals()[ReasonIndex(reason)];
  }
  size_t OpenTunnels() const {
    return static_cast<size_t>(
        metrics_.direction(AccessRecord::Direction::kInbound).tunnels_open->value());
  }

  // From here on connections live by proofs, and there is no room for new ones.
  void FillUp() {
    const IdentitySnapshot& own = *context_.mesh->identity->identity;
    counts_.proofs.SetOwn(own.id(), own.not_after());
    OpenTunnel();
    context_.overload = &full_;
    TakeLog();
  }
  static Overload::Limits NoSockets() {
    Overload::Limits limits;
    limits.sockets = 0;
    return limits;
  }

  Overload full_{NoSockets(), metrics_.direction(AccessRecord::Direction::kInbound).open,
                 metrics_.direction(AccessRecord::Direction::kOutbound).open, metrics_.shedding};
  std::unique_ptr<TunnelServer> server_;
  std::unique_ptr<TunnelServer> other_;
  std::unique_ptr<TcpListener> application_;
  std::vector<std::unique_ptr<TcpStream>> apps_;
  std::unique_ptr<TcpListener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<ConnectStream>> streams_;
  std::vector<UniqueFd> sockets_;
  int accepted_ = 0;

 private:
  void Bind(int fd, int host) {
    sockaddr_storage storage;
    socklen_t size =
        SocketAddress::Parse(absl::StrCat("127.0.0.", host, ":0"))->ToSockaddr(&storage);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&storage), size), 0);
    size = listener_->address().ToSockaddr(&storage);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&storage), size), 0);
  }
};

TEST_F(TunnelServerTest, WithoutAnIdentityItRefuses) {
  context_.mesh = std::make_shared<const MeshSnapshot>();
  server_ = std::make_unique<TunnelServer>(&context_, ConnectSession::Options());
  listener_ = *TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                                   [this](std::unique_ptr<TcpStream> stream) {
                                     ++accepted_;
                                     server_->Accept(std::move(stream));
                                   });
  Dial();
  EXPECT_THAT(TakeLog(), HasSubstr(access_reason::kNoIdentity));
  EXPECT_EQ(server_->handshakes(), 0u);
}

TEST_F(TunnelServerTest, AVerifiedPeerHasATunnelThatIsShownAndCounted) {
  Listen();
  OpenTunnel();
  EXPECT_EQ(server_->handshakes(), 0u);
  const std::vector<TunnelServer::TunnelView> views = server_->View();
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].peer, "spiffe://cluster.local/ns/demo/sa/client");
  EXPECT_EQ(views[0].state, "open");
}

TEST_F(TunnelServerTest, AConnectIsAnsweredByTheInboundConnection) {
  Listen();
  Peer* peer = OpenTunnel();
  int status = 0;
  HeaderList headers;
  auto stream = peer->session->OpenStream(
      {"10.9.9.9:80", {}}, [&](absl::Status, int http_status, const HeaderList& answer) {
        status = http_status;
        headers = answer;
      });
  ASSERT_THAT(stream, IsOk());
  ASSERT_TRUE(loop_.RunUntil([&] { return status != 0; }));
  EXPECT_EQ(status, 400);
  EXPECT_THAT(headers,
              Contains(Pair(kDenyReasonHeader, std::string(access_reason::kBadConnectRequest))));
}

TEST_F(TunnelServerTest, ARequestThatIsNoConnectIsRefusedWithAReasonThatIsCountedAndLogged) {
  Listen();
  Peer* peer = OpenRawTunnel();
  // GET /, with END_STREAM.
  Say(peer, Frame(1, 5, 1,
                  "\x82\x87\x84\x41\x01"
                  "a"));
  ASSERT_TRUE(loop_.RunUntil([&] { return Counted(access_reason::kBadConnectRequest) == 1; }));
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"reason\":\"bad-connect-request\""),
                               HasSubstr("the request is GET, not CONNECT"),
                               HasSubstr("\"result\":\"denied\""), HasSubstr("sa/client")));
}

TEST_F(TunnelServerTest, ATunnelEndedForItsPeersErrorHasOneLineAndIsCounted) {
  Listen();
  Peer* peer = OpenRawTunnel();
  Say(peer, Frame(0, 0, 0, "x"));  // DATA on stream 0.
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(loop_.RunUntil([&] { return Counted(tunnel_reason::kTunnelProtocol) == 1; }));
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"reason\":\"tunnel-protocol\""),
                               HasSubstr("PROTOCOL_ERROR"), HasSubstr("find out what runs there"),
                               HasSubstr("\"peer_identity\":\"spiffe://cluster.local/ns/demo")));
}

TEST_F(TunnelServerTest, AFloodEndsTheTunnelWithOneLineHoweverMuchCame) {
  Listen();
  Peer* peer = OpenRawTunnel();
  std::string requests;
  for (int id = 1; id < 127; id += 2) {
    // CONNECT without an authority, which is malformed, and its reset by the protocol.
    requests += Frame(1, 4, static_cast<char>(id),
                      "\x02\x07"
                      "CONNECT");
  }
  std::string pings;
  for (int i = 0; i < 200; ++i) pings += Frame(6, 0, 0, "12345678");
  Say(peer, requests);
  ASSERT_TRUE(loop_.RunUntil([&] { return Counted(access_reason::kBadConnectRequest) == 63; }));
  for (int i = 0; i < 60; ++i) {
    Say(peer, pings);
    loop_.RunUntilIdle();
    uint8_t buffer[16384];
    while (peer->tls->Read(absl::MakeSpan(buffer)).bytes > 0) loop_.RunUntilIdle();
  }
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(loop_.RunUntil([&] { return Counted(tunnel_reason::kTunnelFlood) > 0; }));
  EXPECT_EQ(Counted(tunnel_reason::kTunnelFlood), 1u);
  EXPECT_EQ(Counted(tunnel_reason::kTunnelProtocol), 0u);
}

TEST_F(TunnelServerTest, ASilentConnectionIsEndedAfterFiveSecondsAndInADrainAfterOne) {
  Listen();
  Dial();
  EXPECT_EQ(server_->handshakes(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(4990));
  EXPECT_EQ(server_->handshakes(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(20));
  EXPECT_EQ(server_->handshakes(), 0u);
  TakeLog();
  Dial();
  server_->Drain();
  loop_.AdvanceTime(absl::Milliseconds(1010));
  EXPECT_EQ(server_->handshakes(), 0u);
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeSilent)),
                               HasSubstr("127.0.0.1:")));
}

TEST_F(TunnelServerTest, AHandshakeThatStopsHalfWayIsEndedAfterFiveSeconds) {
  Listen();
  const int fd = Dial();
  ASSERT_EQ(send(fd, "\x16", 1, 0), 1);
  ASSERT_TRUE(loop_.RunUntil([this] { return server_->View().size() == 1; }));
  loop_.AdvanceTime(absl::Milliseconds(4980));
  EXPECT_EQ(server_->handshakes(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(40));
  EXPECT_EQ(server_->handshakes(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeTimeout)));
}

TEST_F(TunnelServerTest, GarbageEndsAtOnceAndLeavesItsRoom) {
  Listen();
  const int fd = Dial();
  ASSERT_EQ(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
  ASSERT_TRUE(loop_.RunUntil([this] { return server_->handshakes() == 0; }));
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", access_reason::kTlsFailed)));
}

TEST_F(TunnelServerTest, AnHonestPeerGetsInWhileAnOutsiderHoldsItsShare) {
  config_.max_handshakes = 32;
  Listen();
  for (int i = 0; i < 40; ++i) Dial(2);
  // Its share, and not one more.
  EXPECT_EQ(server_->handshakes(), 4u);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeEvicted)));
  OpenTunnel(1);
}

TEST_F(TunnelServerTest, PastItsShareASourceThatHasSpokenIsRefused) {
  config_.max_handshakes = 32;
  Listen();
  for (int i = 0; i < 4; ++i) {
    const int fd = Dial(2);
    ASSERT_EQ(send(fd, "\x16", 1, 0), 1);
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return server_->View().size() == 4; }));
  Dial(2);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeSourceLimit)));
  OpenTunnel(1);
}

TEST_F(TunnelServerTest, AnHonestPeerGetsInWhileManySourcesHoldAllRoomHalfWay) {
  config_.max_handshakes = 8;
  Listen();
  for (int host = 2; host < 6; ++host) {
    for (int i = 0; i < 2; ++i) {
      const int fd = Dial(host);
      ASSERT_EQ(send(fd, "\x16", 1, 0), 1);
    }
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return server_->View().size() == 8; }));
  OpenTunnel(1);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeEvicted)));
}

TEST_F(TunnelServerTest, PastThePeersTunnelsItsLongestIdleOneMakesRoom) {
  config_.max_tunnels_per_peer = 2;
  Listen();
  Peer* first = OpenTunnel();
  loop_.AdvanceTime(absl::Seconds(1));
  Peer* second = OpenTunnel();
  Peer* other = OpenTunnel(1, "/ns/demo/sa/other");
  OpenTunnel();
  EXPECT_TRUE(loop_.RunUntil([&] { return first->closed; }));
  EXPECT_FALSE(second->closed);
  EXPECT_FALSE(other->closed);
}

TEST_F(TunnelServerTest, PastThePeersTunnelsWithNoneIdleANewOneIsRefused) {
  config_.max_tunnels_per_peer = 1;
  SetMesh({});
  Listen();
  std::unique_ptr<TcpStream> app;
  const auto application =
      TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                          [&app](std::unique_ptr<TcpStream> stream) { app = std::move(stream); });
  Peer* first = OpenTunnel();
  const auto stream = first->session->OpenStream({(*application)->address().ToString(), {}},
                                                 [](absl::Status, int, const HeaderList&) {});
  ASSERT_TRUE(loop_.RunUntil([&] { return app != nullptr; }));
  Peer* second = Handshake();
  ASSERT_TRUE(loop_.RunUntil([&] { return second->closed; }));
  EXPECT_FALSE(first->closed);
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr(absl::StrCat("\"", tunnel_reason::kTunnelLimit)),
                               HasSubstr("sa/client")));
  OpenTunnel(1, "/ns/demo/sa/other");
}

TEST_F(TunnelServerTest, PastThePeersConnectionsANewOneIsAnsweredWith503) {
  config_.max_streams_per_peer = 2;
  SetMesh({});
  Listen();
  std::vector<std::unique_ptr<TcpStream>> apps;
  const auto application = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&apps](std::unique_ptr<TcpStream> stream) { apps.push_back(std::move(stream)); });
  const std::string address = (*application)->address().ToString();
  // The limit is of the peer, not of the tunnel.
  Peer* tunnels[] = {OpenTunnel(), OpenTunnel()};
  std::vector<std::unique_ptr<ConnectStream>> streams;
  std::vector<int> statuses;
  for (int i = 0; i < 3; ++i) {
    auto stream = tunnels[i % 2]->session->OpenStream(
        {address, {}},
        [&](absl::Status, int status, const HeaderList&) { statuses.push_back(status); });
    ASSERT_THAT(stream, IsOk());
    streams.push_back(*std::move(stream));
    const size_t answers = static_cast<size_t>(i) + 1;
    ASSERT_TRUE(loop_.RunUntil([&] { return statuses.size() == answers; }));
  }
  EXPECT_THAT(statuses, ElementsAre(200, 200, 503));
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kStreamLimit)));
}

TEST_F(TunnelServerTest, OneTunnelMayCarryAllThatItsPeerMayHave) {
  config_.workers = 4;
  config_.max_streams_per_peer = 4;
  Listen();
  Peer* peer = OpenTunnel();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Connect(peer), 200) << i;
  EXPECT_EQ(Connect(peer), 503);
}

TEST_F(TunnelServerTest, ThePeersConnectionsAreCountedOverAllWorkers) {
  config_.max_streams_per_peer = 2;
  Listen();
  Peer* here = OpenTunnel();
  GoOnWithAnotherWorker();
  Peer* there = OpenTunnel();
  EXPECT_EQ(Connect(here), 200);
  EXPECT_EQ(Connect(there), 200);
  EXPECT_EQ(Connect(here), 503);
  EXPECT_EQ(Connect(there), 503);
  streams_[0].reset();
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 1; }));
  EXPECT_EQ(Connect(there), 200);
}

TEST_F(TunnelServerTest, ThePeersTunnelsAreCountedOverAllWorkers) {
  config_.max_tunnels_per_peer = 2;
  Listen();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Connect(OpenTunnel()), 200);
  GoOnWithAnotherWorker();
  Peer* third = Handshake();
  ASSERT_TRUE(loop_.RunUntil([&] { return third->closed; }));
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kTunnelLimit)));
  OpenTunnel(1, "/ns/demo/sa/other");
}

TEST_F(TunnelServerTest, HandshakesAreCountedOverAllWorkers) {
  config_.max_handshakes = 32;
  Listen();
  for (int i = 0; i < 4; ++i) {
    const int fd = Dial(2);
    ASSERT_EQ(send(fd, "\x16", 1, 0), 1);
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return server_->View().size() == 4; }));
  GoOnWithAnotherWorker();
  Dial(2);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", tunnel_reason::kHandshakeSourceLimit)));
  OpenTunnel(1);
}

TEST_F(TunnelServerTest, WhatThePeerSaysOfItselfIsInTheLogAsItsClaim) {
  Listen();
  Peer* peer = OpenTunnel();
  int status = 0;
  auto stream = peer->session->OpenStream(
      {"10.9.9.9:80",
       {{"baggage", "k8s.namespace.name=demo,k8s.pod.name=web-1"},
        {"forwarded", "for=\"10.0.0.7:4000\""},
        {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}},
      [&](absl::Status, int http_status, const HeaderList&) { status = http_status; });
  ASSERT_TRUE(loop_.RunUntil([&] { return status == 400; }));
  loop_.RunUntilIdle();
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"claimed_workload\":\"demo/web-1\""),
                               HasSubstr("\"forwarded_for\":\"10.0.0.7:4000\""),
                               HasSubstr("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"")));
}

TEST_F(TunnelServerTest, DrainingTellsThePeersThatAreThereAndThoseThatCome) {
  Listen();
  Peer* old = OpenTunnel();
  server_->Drain();
  ASSERT_TRUE(loop_.RunUntil([&] { return old->goaways == 1; }));
  Peer* late = Handshake();
  ASSERT_TRUE(loop_.RunUntil([&] { return late->goaways == 1; }));
  EXPECT_FALSE(old->session->peer_stays());
  EXPECT_FALSE(late->session->peer_stays());
}

TEST_F(TunnelServerTest, ATunnelThatEndsForANewCertificateSaysThatTheProxyStays) {
  Listen();
  Peer* const busy = OpenTunnel(2);
  EXPECT_EQ(Connect(busy), 200);
  server_->DrainOtherGenerations(1000);
  ASSERT_TRUE(loop_.RunUntil([&] { return busy->goaways == 1; }));
  EXPECT_TRUE(busy->session->peer_stays());
  Peer* const strict = OpenTunnel();
  server_->CloseOtherGenerations(1000);
  ASSERT_TRUE(loop_.RunUntil([&] { return strict->goaways == 1; }));
  EXPECT_TRUE(strict->session->peer_stays());
}

TEST_F(TunnelServerTest, ATunnelWhoseCertificateHasRunOutIsClosed) {
  Listen();
  Peer* peer = OpenTunnel();
  server_->CloseExpired(loop_.WallNow());
  loop_.RunUntilIdle();
  EXPECT_FALSE(peer->closed);
  server_->CloseExpired(loop_.WallNow() + absl::Hours(2));
  EXPECT_TRUE(loop_.RunUntil([&] { return peer->closed && OpenTunnels() == 0; }));
}

TEST_F(TunnelServerTest, IdleTunnelsAreClosedWhereMemoryIsShortAndOthersAreNot) {
  Listen();
  Peer* const idle = OpenTunnel();
  Peer* const busy = OpenTunnel(2);
  EXPECT_EQ(Connect(busy), 200);
  server_->CloseIdle();
  EXPECT_TRUE(loop_.RunUntil([&] { return idle->closed; }));
  EXPECT_FALSE(busy->closed);
  EXPECT_EQ(busy->goaways, 0);
  EXPECT_TRUE(loop_.RunUntil([&] { return OpenTunnels() == 1; }));
}

TEST_F(TunnelServerTest, ATunnelThatCarriesNothingForTenMinutesIsClosed) {
  Listen();
  Peer* peer = OpenTunnel();
  // The peer answers PINGs meanwhile.
  for (int i = 0; i < 601; ++i) {
    loop_.AdvanceTime(absl::Seconds(1));
    if (peer->closed) break;
  }
  EXPECT_TRUE(peer->closed);
}

TEST_F(TunnelServerTest, WithoutRoomAPeerWithATunnelMayProveItselfAnewAndNoMore) {
  Listen();
  FillUp();
  Peer* const proven = OpenTunnel();
  EXPECT_EQ(Connect(proven), 503);
  EXPECT_THAT(TakeLog(), HasSubstr(access_reason::kTooManySockets));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_TRUE(loop_.RunUntil([&] { return proven->closed; }));
  EXPECT_FALSE(peers_[0]->closed);
  EXPECT_TRUE(loop_.RunUntil([&] { return OpenTunnels() == 1; }));
  // Its place is free again.
  OpenTunnel();
}

TEST_F(TunnelServerTest, WithoutRoomAnAddressOfNobodyIsRefused) {
  Listen();
  FillUp();
  Dial(2);
  EXPECT_THAT(TakeLog(), HasSubstr(access_reason::kTooManySockets));
  EXPECT_EQ(server_->handshakes(), 0u);
}

TEST_F(TunnelServerTest, WithoutRoomAnAddressHasTwoPlacesForProofs) {
  Listen();
  FillUp();
  Dial();
  Dial();
  EXPECT_EQ(server_->handshakes(), 2u);
  EXPECT_THAT(TakeLog(), IsEmpty());
  Dial();
  EXPECT_EQ(server_->handshakes(), 2u);
  EXPECT_THAT(TakeLog(), HasSubstr("two of this address are here for a new proof"));
  EXPECT_EQ(Counted(access_reason::kTooManySockets), 1u);
  // Who says nothing does not keep them.
  loop_.AdvanceTime(absl::Seconds(5));
  EXPECT_EQ(server_->handshakes(), 0u);
  OpenTunnel();
}

}  // namespace
}  // namespace byrnie
