#include "proxy/outbound.h"

#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/resolver.h"
#include "proxy/routing_table.h"
#include "proxy/routing_table_builder.h"
#include "proxy/testing/data_path.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Outcome = Resolver::Outcome;

// The application is the other end of a socket pair.
class OutboundTest : public DataPathTest {
 protected:
  void Connect(absl::StatusOr<SocketAddress> original_destination) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    app_.reset(fds[0]);
    if (no_more_sockets_) {
      Overload::Limits limits;
      limits.sockets = fds[1] + 1;
      full_ = std::make_unique<Overload>(
          limits, metrics_.direction(AccessRecord::Direction::kInbound).open,
          metrics_.direction(AccessRecord::Direction::kOutbound).open, metrics_.shedding);
      context_.overload = full_.get();
    }
    registry_.Add(std::make_unique<OutboundConnection>(
        &context_, *TcpStream::Create(&loop_, UniqueFd(fds[1])), std::move(original_destination)));
    loop_.RunUntilIdle();
  }
  // The same by TCP, as which alone an application can reset.
  void ConnectByTcp(const SocketAddress& original_destination) {
    const auto listener = TcpListener::Create(
        &loop_, *SocketAddress::Parse("127.0.0.1:0"), {}, [&](std::unique_ptr<TcpStream> accepted) {
          registry_.Add(std::make_unique<OutboundConnection>(&context_, std::move(accepted),
                                                             original_destination));
        });
    ASSERT_THAT(listener, IsOk());
    tcp_app_.reset();
    const auto attempt =
        TcpStream::Connect(&loop_, (*listener)->address(), {},
                           [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                             tcp_app_ = *std::move(stream);
                           });
    ASSERT_TRUE(loop_.RunUntil([this] { return tcp_app_ != nullptr && registry_.size() == 1; }));
  }
  void Say(absl::string_view text) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    ASSERT_EQ(tcp_app_->Write(absl::MakeConstSpan(bytes, text.size())).bytes, text.size());
  }
  // What the SilentDialer does not answer.
  void HaveIdentity() {
    TunnelPool::Identity identity;
    identity.generation = 1;
    pool_.SetIdentity(std::move(identity));
  }
  void Connect(const char* address) { Connect(*SocketAddress::Parse(address)); }
  void Answer(Outcome outcome) {
    ASSERT_THAT(questions_, SizeIs(1));
    registry_.Find(questions_[0].first)->OnResolved(outcome);
    loop_.RunUntilIdle();
  }
  void ExpectEnded(absl::string_view result, absl::string_view reason) {
    EXPECT_EQ(registry_.size(), 0u);
    EXPECT_THAT(TakeLog(), AllOf(HasSubstr(absl::StrCat("\"", result, "\"")),
                                 HasSubstr(absl::StrCat("\"", reason, "\""))));
    // Nothing was sent on, and the application is not left waiting.
    char byte;
    EXPECT_EQ(recv(app_.get(), &byte, 1, 0), 0);
    EXPECT_THAT(dialer_.targets, IsEmpty());
  }
  // A snapshot that routes 10.0.0.7 through a tunnel.
  void KnowServer() {
    link::v1::AddressUpdate update;
    istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
    workload->set_uid("u");
    workload->set_name("server");
    workload->set_namespace_("demo");
    workload->set_service_account("server");
    workload->set_trust_domain("cluster.local");
    workload->add_addresses(std::string("\x0a\0\0\7", 4));
    workload->set_tunnel_protocol(istio::workload::HBONE);
    RoutingTableBuilder routes;
    ASSERT_TRUE(routes.Apply(update).empty());
    auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
    mesh->routes = routes.Build();
    context_.mesh = std::move(mesh);
  }

  UniqueFd app_;
  std::unique_ptr<TcpStream> tcp_app_;
  // The application's socket is the last one there is room for.
  bool no_more_sockets_ = false;
  std::unique_ptr<Overload> full_;
};

TEST_F(OutboundTest, RefusesALoopToTheSidecarsOwnPorts) {
  for (const int port : {15000, 15001, 15006, 15008, 15010, 15020, 15021}) {
    Connect(*SocketAddress::Parse(absl::StrCat("127.0.0.1:", port)));
    ExpectEnded("denied", access_reason::kLoop);
  }
  auto mesh = std::make_shared<MeshSnapshot>();
  mesh->own_addresses = std::make_shared<const absl::flat_hash_set<IpAddress>>(
      absl::flat_hash_set<IpAddress>{*IpAddress::Parse("10.0.0.1")});
  context_.mesh = mesh;
  Connect("10.0.0.1:15001");
  ExpectEnded("denied", access_reason::kLoop);
  EXPECT_THAT(questions_, IsEmpty());
}

TEST_F(OutboundTest, RefusesAConnectionMadeToTheListenerItself) {
  std::unique_ptr<TcpStream> accepted;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&accepted](std::unique_ptr<TcpStream> stream) { accepted = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  std::unique_ptr<TcpStream> client;
  const auto attempt =
      TcpStream::Connect(&loop_, (*listener)->address(), {},
                         [&client](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                           client = *std::move(stream);
                         });
  ASSERT_TRUE(loop_.RunUntil([&] { return client != nullptr && accepted != nullptr; }));
  registry_.Add(
      std::make_unique<OutboundConnection>(&context_, std::move(accepted), (*listener)->address()));
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr(absl::StrCat("\"", access_reason::kLoop, "\"")));
}

TEST_F(OutboundTest, RefusesWhatTheKernelDoesNotKnow) {
  Connect(absl::NotFoundError("no original destination"));
  ExpectEnded("denied", access_reason::kNoOriginalDestination);
}

TEST_F(OutboundTest, FailsClosedWhenNobodyCanSayWhatTheAddressIs) {
  const std::pair<Outcome, absl::string_view> cases[] = {
      {Outcome::kTimedOut, access_reason::kResolveTimeout},
      {Outcome::kUnavailable, access_reason::kResolveUnavailable},
      {Outcome::kOverloaded, access_reason::kOverloaded}};
  for (const auto& [outcome, reason] : cases) {
    Connect("10.0.0.7:80");
    Answer(outcome);
    ExpectEnded("failed", reason);
    questions_.clear();
  }
}

TEST_F(OutboundTest, DeniesWhatIsNotInTheMeshWhereToldTo) {
  config_.outbound_policy = OutboundPolicy::kDeny;
  Connect("10.0.0.7:80");
  Answer(Outcome::kNotInMesh);
  ExpectEnded("denied", access_reason::kUnknownAddress);
}

TEST_F(OutboundTest, PassesWhatIsNotInTheMeshThroughAsItIs) {
  std::unique_ptr<TcpStream> server;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&server](std::unique_ptr<TcpStream> stream) { server = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  Connect((*listener)->address());
  ASSERT_EQ(send(app_.get(), "hello", 5, 0), 5);
  Answer(Outcome::kNotInMesh);
  ASSERT_TRUE(loop_.RunUntil([&server] { return server != nullptr; }));
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return server->Read(absl::MakeSpan(buffer)).bytes == 5; }));
  EXPECT_EQ(std::string(buffer, buffer + 5), "hello");
  EXPECT_THAT(dialer_.targets, IsEmpty());
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.AdvanceTime(absl::Seconds(6));
}

TEST_F(OutboundTest, CarriesWhatNobodyCanSayAnythingAboutWhereToldToAndSaysSo) {
  config_.passthrough_on_lookup_failure = true;
  const std::pair<Outcome, absl::string_view> cases[] = {
      {Outcome::kTimedOut, access_reason::kResolveTimeout},
      {Outcome::kUnavailable, access_reason::kResolveUnavailable}};
  for (const auto& [outcome, reason] : cases) {
    std::unique_ptr<TcpStream> server;
    const auto listener = TcpListener::Create(
        &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
        [&server](std::unique_ptr<TcpStream> stream) { server = std::move(stream); });
    ASSERT_THAT(listener, IsOk());
    Connect((*listener)->address());
    Answer(outcome);
    ASSERT_TRUE(loop_.RunUntil([&server] { return server != nullptr; }));
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.AdvanceTime(absl::Seconds(6));
    EXPECT_THAT(TakeLog(), AllOf(HasSubstr(absl::StrCat("\"lookup_failure\":\"", reason, "\"")),
                                 HasSubstr("\"route\":\"passthrough\"")));
    questions_.clear();
  }
  EXPECT_EQ(metrics_.passthrough_lookup_failed->value(), 2u);
  EXPECT_EQ(metrics_.passthrough_not_in_mesh->value(), 0u);
  // A question that was shed sheds its connection.
  Connect("10.0.0.7:80");
  Answer(Outcome::kOverloaded);
  ExpectEnded("failed", access_reason::kOverloaded);
}

TEST_F(OutboundTest, RefusesWhenTheSocketToTheDestinationIsOneTooMany) {
  std::unique_ptr<TcpStream> server;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&server](std::unique_ptr<TcpStream> stream) { server = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  no_more_sockets_ = true;
  Connect((*listener)->address());
  Answer(Outcome::kNotInMesh);
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
  ExpectEnded("failed", access_reason::kTooManySockets);
}

TEST_F(OutboundTest, FoundWithoutARouteIsRefusedAndNotAskedAgain) {
  Connect("10.0.0.7:80");
  Answer(Outcome::kFound);
  ExpectEnded("denied", access_reason::kUnknownAddress);
}

TEST_F(OutboundTest, WithoutAnIdentityATunnelFailsClosed) {
  KnowServer();
  Connect("10.0.0.7:80");
  ExpectEnded("failed", access_reason::kNoIdentity);
}

TEST_F(OutboundTest, ATunnelAcceptsOnlyTheIdentityThatDiscoveryNames) {
  KnowServer();
  TunnelPool::Identity identity;
  identity.generation = 1;
  pool_.SetIdentity(std::move(identity));
  Connect("10.0.0.7:80");
  ASSERT_THAT(dialer_.targets, SizeIs(1));
  EXPECT_EQ(dialer_.targets[0].address.ToString(), "10.0.0.7:15008");
  ASSERT_THAT(dialer_.targets[0].allowed_peers, SizeIs(1));
  EXPECT_EQ(dialer_.targets[0].allowed_peers[0].text(), "spiffe://cluster.local/ns/demo/sa/server");
}

TEST_F(OutboundTest, ATunnelThatIsNeverAnsweredEndsTheConnection) {
  KnowServer();
  TunnelPool::Identity identity;
  identity.generation = 1;
  pool_.SetIdentity(std::move(identity));
  Connect("10.0.0.7:80");
  loop_.AdvanceTime(2 * config_.connect_timeout + config_.handshake_timeout);
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr(access_reason::kConnectTimeout));
}

TEST_F(OutboundTest, AnApplicationThatResetsWhileItIsConnectedEndsTheAttemptAtOnce) {
  KnowServer();
  HaveIdentity();
  // To a peer that does not answer; to what the agent is asked about.
  for (const char* destination : {"10.0.0.7:80", "10.9.9.9:80"}) {
    SCOPED_TRACE(destination);
    ConnectByTcp(*SocketAddress::Parse(destination));
    tcp_app_.reset();
    ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
    EXPECT_THAT(TakeLog(),
                AllOf(HasSubstr("\"failed\""),
                      HasSubstr(absl::StrCat("\"", access_reason::kResetByDownstream, "\""))));
  }
}

TEST_F(OutboundTest, AnApplicationThatHasSaidAllItHasToSayIsServed) {
  std::unique_ptr<TcpStream> server;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&server](std::unique_ptr<TcpStream> stream) { server = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  ConnectByTcp((*listener)->address());
  Say("question");
  tcp_app_->ShutdownWrite();
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_EQ(registry_.size(), 1u);
  Answer(Outcome::kNotInMesh);
  ASSERT_TRUE(loop_.RunUntil([&server] { return server != nullptr; }));
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return server->Read(absl::MakeSpan(buffer)).bytes == 8; }));
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.AdvanceTime(absl::Seconds(6));
}

TEST_F(OutboundTest, WhatWasSentBeforeTheResetIsDeliveredWhereTheDestinationIsThere) {
  std::unique_ptr<TcpStream> server;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&server](std::unique_ptr<TcpStream> stream) { server = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  ConnectByTcp((*listener)->address());
  Say("news");
  tcp_app_.reset();
  loop_.RunUntilIdle();
  loop_.AdvanceTime(kLastWords - absl::Milliseconds(100));
  Answer(Outcome::kNotInMesh);
  ASSERT_TRUE(loop_.RunUntil([&server] { return server != nullptr; }));
  uint8_t buffer[16];
  ASSERT_TRUE(loop_.RunUntil([&] { return server->Read(absl::MakeSpan(buffer)).bytes == 4; }));
  ASSERT_TRUE(loop_.RunUntil(
      [&] { return server->Read(absl::MakeSpan(buffer)).status == IoStatus::kError; }));
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
}

TEST_F(OutboundTest, WhatWasSentBeforeTheResetKeepsNoAttemptForLong) {
  KnowServer();
  HaveIdentity();
  ConnectByTcp(*SocketAddress::Parse("10.0.0.7:80"));
  Say("news");
  tcp_app_.reset();
  loop_.RunUntilIdle();
  loop_.AdvanceTime(kLastWords - absl::Milliseconds(100));
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(200));
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr(access_reason::kResetByDownstream));
}

TEST_F(OutboundTest, APodReachesItselfWithoutTls) {
  link::v1::AddressUpdate update;
  istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
  workload->set_uid("u");
  workload->set_namespace_("demo");
  workload->set_service_account("server");
  workload->add_addresses(std::string("\x7f\0\0\1", 4));
  workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  auto mesh = std::make_shared<MeshSnapshot>();
  mesh->routes = routes.Build();
  mesh->own_addresses = std::make_shared<const absl::flat_hash_set<IpAddress>>(
      absl::flat_hash_set<IpAddress>{*IpAddress::Parse("127.0.0.1")});
  context_.mesh = std::move(mesh);
  std::unique_ptr<TcpStream> accepted;
  const auto listener = TcpListener::Create(
      &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
      [&accepted](std::unique_ptr<TcpStream> stream) { accepted = std::move(stream); });
  ASSERT_THAT(listener, IsOk());
  Connect((*listener)->address());
  ASSERT_TRUE(loop_.RunUntil([&accepted] { return accepted != nullptr; }));
  ASSERT_EQ(send(app_.get(), "hello", 5, MSG_NOSIGNAL), 5);
  uint8_t buffer[16];
  EXPECT_TRUE(loop_.RunUntil([&] { return accepted->Read(absl::MakeSpan(buffer)).bytes == 5; }));
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
}

}  // namespace
}  // namespace byrnie
