// What an outbound connection does when an endpoint of a service cannot be connected to, or proves
// to be somebody else.

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/http2/connect_session.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/net/testing/valve.h"
#include "common/tls/handshake_fault.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/connect_refusal.h"
#include "proxy/outbound.h"
#include "proxy/routing_table_builder.h"
#include "proxy/testing/data_path.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Outcome = Resolver::Outcome;

SpiffeId Id(absl::string_view account) {
  return *SpiffeId::Parse(absl::StrCat("spiffe://cluster.local/ns/demo/sa/", account));
}

// The far end of one tunnel: answers every CONNECT with one status, or, 0, not at all.
class FakePeer final : public ConnectSession::Delegate {
 public:
  FakePeer(EventLoop* loop, std::unique_ptr<ByteStream> transport, int status)
      : session(ConnectSession::CreateServer(loop, std::move(transport), {}, this)),
        status_(status) {}

  std::vector<std::unique_ptr<ConnectStream>> streams;
  std::unique_ptr<ConnectSession> session;

 private:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    if (status_ == 200) {
      stream->Accept();
    } else if (status_ != 0) {
      stream->Reject(status_, {{kDenyReasonHeader, "policy-deny"}});
    }
    streams.push_back(std::move(stream));
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}

  const int status_;
};

// Addresses that fail, refuse, or are somebody else; all others are "server" and accept.
class ScriptedDialer final : public TunnelDialer {
 public:
  explicit ScriptedDialer(ManualEventLoop* loop) : loop_(loop) {}

  std::unique_ptr<Attempt> Dial(const TunnelTarget& target, std::shared_ptr<const TlsContext>,
                                Callback done) override {
    dialled.push_back(target.address.ip().ToString());
    auto attempt = std::make_unique<DeferredAttempt>();
    attempt->dialer = this;
    if (hanging.count(dialled.back()) > 0) return attempt;
    attempt->deferred = loop_->NewDeferred(
        [this, target, done = std::move(done)]() mutable { Complete(target, std::move(done)); });
    attempt->deferred->Schedule();
    return attempt;
  }

  std::map<std::string, absl::Status> failures;
  std::map<std::string, int> answers;
  std::map<std::string, std::string> accounts;
  // These accept the connection and say nothing more, for want of the peer or of our own signer.
  std::set<std::string> hanging;
  bool waits_for_peer = true;
  // Tunnels made while it is set, and whether they are silent.
  bool freezable = false;
  std::map<std::string, bool> frozen;
  std::vector<std::string> dialled;
  std::vector<std::unique_ptr<FakePeer>> peers;

 private:
  struct DeferredAttempt : Attempt {
    bool WaitsForPeer() const override { return dialer->waits_for_peer; }
    const ScriptedDialer* dialer;
    std::unique_ptr<EventLoop::Deferred> deferred;
  };
  void Complete(const TunnelTarget& target, Callback done) {
    const std::string ip = target.address.ip().ToString();
    if (failures.count(ip) > 0) return done(failures[ip]);
    const SpiffeId id = Id(accounts.count(ip) > 0 ? accounts[ip] : "server");
    if (!absl::c_linear_search(target.allowed_peers, id)) {
      return done(IdentityMismatchError(absl::StrCat("peer is ", id.text())));
    }
    MemoryStreamPair pair(loop_);
    peers.push_back(
        std::make_unique<FakePeer>(loop_, pair.TakeB(), answers.count(ip) > 0 ? answers[ip] : 200));
    std::unique_ptr<ByteStream> stream = pair.TakeA();
    if (freezable) stream = std::make_unique<Valve>(std::move(stream), &frozen[ip]);
    done(Transport{std::move(stream), VerifiedSvid{id, absl::InfiniteFuture()}, {}, {}});
  }

  ManualEventLoop* const loop_;
};

// The service 10.96.0.1:80 with the endpoints 10.0.0.1, 10.0.0.2 and 10.0.0.3, port 8080.
class OutboundRetryTest : public DataPathTest {
 protected:
  OutboundRetryTest()
      : scripted_(&loop_),
        tunnels_(&loop_, &scripted_, TunnelPool::Options(), TunnelPool::Metrics()) {
    context_.pool = &tunnels_;
    TunnelPool::Identity identity;
    identity.generation = 1;
    tunnels_.SetIdentity(std::move(identity));
    for (int i = 1; i <= 3; ++i) AddEndpoint(i, "server");
    istio::workload::Service* service = update_.add_upserts()->mutable_service();
    service->set_namespace_("demo");
    service->set_hostname("web");
    service->add_addresses()->set_address(std::string("\x0a\x60\0\1", 4));
    service->add_ports()->set_service_port(80);
    Publish();
  }
  ~OutboundRetryTest() override {
    // Streams end before their pool.
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.AdvanceTime(absl::Seconds(10));
  }

  void AddEndpoint(int number, const std::string& account) {
    istio::workload::Workload* workload = update_.add_upserts()->mutable_workload();
    workload->set_uid(absl::StrCat("w", number));
    workload->set_name("server");
    workload->set_namespace_("demo");
    workload->set_service_account(account);
    workload->add_addresses(IpAddress::Parse(absl::StrCat("10.0.0.", number))->ToBytes());
    workload->set_tunnel_protocol(istio::workload::HBONE);
    istio::workload::Port* port = (*workload->mutable_services())["demo/web"].add_ports();
    port->set_service_port(80);
    port->set_target_port(8080);
  }
  void Publish() {
    ASSERT_TRUE(routes_.Apply(update_).empty());
    update_.Clear();
    auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
    mesh->routes = routes_.Build();
    context_.mesh = std::move(mesh);
  }
  void Connect(const char* address) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    app_.reset(fds[0]);
    proxy_fd_ = fds[1];
    ASSERT_EQ(send(app_.get(), "hello", 5, 0), 5);
    registry_.Add(std::make_unique<OutboundConnection>(
        &context_, *TcpStream::Create(&loop_, UniqueFd(fds[1])), *SocketAddress::Parse(address)));
    loop_.RunUntilIdle();
  }
  // The application's bytes have arrived at a peer, since the last time.
  bool Carried() {
    uint8_t buffer[16];
    for (const std::unique_ptr<FakePeer>& peer : scripted_.peers) {
      for (const std::unique_ptr<ConnectStream>& stream : peer->streams) {
        if (stream->Read(absl::MakeSpan(buffer)).bytes == 5) return true;
      }
    }
    return false;
  }
  void Answer(Outcome outcome) {
    ASSERT_THAT(questions_, SizeIs(1));
    registry_.Find(questions_[0].first)->OnResolved(outcome);
    loop_.RunUntilIdle();
  }
  std::string EndAndTakeLog() {
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.AdvanceTime(absl::Seconds(10));
    return TakeLog();
  }

  ScriptedDialer scripted_;
  TunnelPool tunnels_;
  link::v1::AddressUpdate update_;
  RoutingTableBuilder routes_;
  UniqueFd app_;
  int proxy_fd_ = -1;
};

TEST_F(OutboundRetryTest, TriesAnotherEndpointForEachFailureOfOne) {
  const absl::Status failures[] = {absl::UnavailableError("connection refused"),
                                   absl::DeadlineExceededError("timed out"),
                                   absl::UnauthenticatedError("unknown issuer")};
  for (const absl::Status& failure : failures) {
    scripted_.failures = {{"10.0.0.1", failure}, {"10.0.0.2", failure}};
    for (int i = 0; i < 20; ++i) {
      Connect("10.96.0.1:80");
      EXPECT_TRUE(Carried());
      EndAndTakeLog();
    }
  }
  EXPECT_GT(metrics_.connect_retries->value(), 0u);
}

TEST_F(OutboundRetryTest, TheLogSaysHowManyAttemptsAndTheLastFailure) {
  scripted_.failures = {{"10.0.0.1", absl::UnavailableError("connection refused")},
                        {"10.0.0.2", absl::UnavailableError("connection refused")}};
  std::string log;
  for (int i = 0; i < 50 && log.find("attempts") == std::string::npos; ++i) {
    Connect("10.96.0.1:80");
    log = EndAndTakeLog();
  }
  EXPECT_THAT(log, AllOf(HasSubstr("\"attempts\":"),
                         HasSubstr("\"last_failure\":\"connect-failed: connection refused\""),
                         HasSubstr("\"destination\":\"10.0.0.3:8080\"")));
}

TEST_F(OutboundRetryTest, AnApplicationThatDoesNotListenIsAFailureOfItsEndpoint) {
  scripted_.answers = {{"10.0.0.1", 503}, {"10.0.0.3", 503}};
  for (int i = 0; i < 10; ++i) {
    Connect("10.96.0.1:80");
    EXPECT_TRUE(Carried());
    EXPECT_THAT(EndAndTakeLog(), HasSubstr("\"destination\":\"10.0.0.2:8080\""));
  }
}

TEST_F(OutboundRetryTest, GivesUpAfterTheAttemptsItMayMake) {
  for (int i = 1; i <= 3; ++i) {
    scripted_.failures[absl::StrCat("10.0.0.", i)] = absl::UnavailableError("refused");
  }
  config_.connect_attempts = 2;
  Connect("10.96.0.1:80");
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"attempts\":2"), HasSubstr("\"connect-failed\""),
                               HasSubstr("\"failed\"")));
  EXPECT_EQ(metrics_.connect_retries->value(), 1u);
}

TEST_F(OutboundRetryTest, NeverTriesTheSameEndpointTwice) {
  for (int i = 1; i <= 3; ++i) scripted_.answers[absl::StrCat("10.0.0.", i)] = 503;
  config_.connect_attempts = 10;
  Connect("10.96.0.1:80");
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(scripted_.dialled, SizeIs(3));
  EXPECT_EQ(std::set<std::string>(scripted_.dialled.begin(), scripted_.dialled.end()).size(), 3u);
}

TEST_F(OutboundRetryTest, APolicysNoIsNotAskedOfAnybodyElse) {
  for (const int status : {401, 403}) {
    for (int i = 1; i <= 3; ++i) scripted_.answers[absl::StrCat("10.0.0.", i)] = status;
    Connect("10.96.0.1:80");
    EXPECT_EQ(registry_.size(), 0u);
    EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"denied\""), HasSubstr("\"tunnel-refused\""),
                                 Not(HasSubstr("attempts"))));
    // Tunnels of the first round are used again.
    EXPECT_LE(scripted_.dialled.size(), 2u);
    scripted_.dialled.clear();
  }
  EXPECT_EQ(metrics_.connect_retries->value(), 0u);
  EXPECT_THAT(outliers_.View(), IsEmpty());
}

TEST_F(OutboundRetryTest, WhatThisProxyCannotDoIsNotTriedWithAnybodyElse) {
  for (const absl::Status& failure : {OwnFault(absl::UnavailableError("no link to the agent")),
                                      absl::ResourceExhaustedError("no descriptors")}) {
    for (int i = 1; i <= 3; ++i) scripted_.failures[absl::StrCat("10.0.0.", i)] = failure;
    Connect("10.96.0.1:80");
    EXPECT_EQ(registry_.size(), 0u);
    EXPECT_THAT(TakeLog(), Not(HasSubstr("attempts")));
  }
  EXPECT_THAT(outliers_.View(), IsEmpty());
}

TEST_F(OutboundRetryTest, AWorkloadsOwnAddressIsNobodyElses) {
  scripted_.failures["10.0.0.1"] = absl::DeadlineExceededError("timed out");
  Connect("10.0.0.1:8080");
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(scripted_.dialled, ElementsAre("10.0.0.1"));
  EXPECT_THAT(TakeLog(), HasSubstr("\"connect-timeout\""));
}

TEST_F(OutboundRetryTest, ReadsNothingOfTheApplicationBeforeTheAnswer) {
  for (int i = 1; i <= 3; ++i) scripted_.answers[absl::StrCat("10.0.0.", i)] = 0;
  Connect("10.96.0.1:80");
  int waiting = 0;
  ASSERT_EQ(ioctl(proxy_fd_, FIONREAD, &waiting), 0);
  EXPECT_EQ(waiting, 5);
  scripted_.peers.back()->streams.back()->Accept();
  loop_.RunUntilIdle();
  EXPECT_TRUE(Carried());
}

// Endpoints that freeze, each behind a tunnel that is open.
class OutboundSilenceTest : public OutboundRetryTest {
 protected:
  OutboundSilenceTest() {
    scripted_.freezable = true;
    for (int i = 1; i <= 3; ++i) {
      Connect(absl::StrCat("10.0.0.", i, ":8080").c_str());
      EXPECT_TRUE(Carried());
    }
    scripted_.freezable = false;
    EndAndTakeLog();
    scripted_.dialled.clear();
  }
  // Until one has come upon a silent endpoint; whether it is waiting.
  bool ConnectToASilentOne() {
    for (int i = 0; i < 50; ++i) {
      Connect("10.96.0.1:80");
      if (!Carried()) return true;
      registry_.AbortAll(access_reason::kDrained, "");
      loop_.RunUntilIdle();
    }
    return false;
  }
};

TEST_F(OutboundSilenceTest, ASilentEndpointIsLeftForAnotherAfterThreeSecondsAndEjected) {
  scripted_.frozen["10.0.0.1"] = true;
  ASSERT_TRUE(ConnectToASilentOne());
  loop_.AdvanceTime(absl::Seconds(2.9));
  EXPECT_FALSE(Carried());
  loop_.AdvanceTime(absl::Seconds(0.2));
  EXPECT_TRUE(Carried());
  EXPECT_TRUE(outliers_.Ejected(*SocketAddress::Parse("10.0.0.1:8080")));
  EXPECT_THAT(scripted_.dialled, IsEmpty());
  EXPECT_THAT(EndAndTakeLog(),
              AllOf(HasSubstr("\"attempts\":2"),
                    HasSubstr("\"last_failure\":\"peer-silent: the peer has been silent for 3s")));
  // Others come upon it no more.
  for (int i = 0; i < 30; ++i) {
    Connect("10.96.0.1:80");
    EXPECT_TRUE(Carried());
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.RunUntilIdle();
  }
}

TEST_F(OutboundSilenceTest, WhereAllAreSilentTheEndSaysSoWithinTheTimeForAll) {
  for (int i = 1; i <= 3; ++i) {
    scripted_.frozen[absl::StrCat("10.0.0.", i)] = true;
    scripted_.hanging.insert(absl::StrCat("10.0.0.", i));
  }
  Connect("10.96.0.1:80");
  loop_.AdvanceTime(absl::Seconds(24.9));
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Seconds(0.2));
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(),
              AllOf(HasSubstr("\"reason\":\"connect-timeout\""),
                    HasSubstr("\"last_failure\":\"peer-silent: "), HasSubstr("\"attempts\":4")));
}

TEST_F(OutboundSilenceTest, AnOnlyEndpointIsTriedOnceMoreOnANewTunnel) {
  scripted_.frozen["10.0.0.1"] = true;
  Connect("10.0.0.1:8080");
  loop_.AdvanceTime(absl::Seconds(3.1));
  EXPECT_TRUE(Carried());
  EXPECT_THAT(scripted_.dialled, ElementsAre("10.0.0.1"));
  EXPECT_THAT(EndAndTakeLog(), HasSubstr("\"last_failure\":\"peer-silent: "));
}

TEST_F(OutboundSilenceTest, APeerWhoseApplicationIsSlowIsWaitedFor) {
  for (int i = 1; i <= 3; ++i) scripted_.answers[absl::StrCat("10.0.0.", i)] = 0;
  tunnels_.SetPolicyEpoch(2);  // New tunnels.
  loop_.RunUntilIdle();
  Connect("10.96.0.1:80");
  loop_.AdvanceTime(absl::Seconds(24));
  EXPECT_EQ(metrics_.connect_retries->value(), 0u);
  scripted_.peers.back()->streams.back()->Accept();
  loop_.RunUntilIdle();
  EXPECT_TRUE(Carried());
}

TEST_F(OutboundRetryTest, AnEndpointThatDoesNotShakeHandsIsLeftForAnotherAfterItsShare) {
  scripted_.hanging = {"10.0.0.1", "10.0.0.2"};
  bool waited = false;
  for (int i = 0; i < 50 && !waited; ++i) {
    Connect("10.96.0.1:80");
    waited = !Carried();
  }
  ASSERT_TRUE(waited);
  loop_.AdvanceTime(absl::Seconds(6.1));
  EXPECT_TRUE(Carried());
  EXPECT_FALSE(outliers_.View().empty());
  EXPECT_THAT(EndAndTakeLog(), HasSubstr("took longer than 3s for the connection"));
}

TEST_F(OutboundRetryTest, AnEndpointIsNotLeftForOneThatFailedAMomentAgo) {
  for (int i = 2; i <= 3; ++i) {
    outliers_.OnFailure(*SocketAddress::Parse(absl::StrCat("10.0.0.", i, ":8080")));
  }
  scripted_.hanging = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
  Connect("10.96.0.1:80");
  // Longer than the others are ejected for would be another matter.
  for (int i = 2; i <= 3; ++i) {
    loop_.AdvanceTime(absl::Seconds(1.4));
    outliers_.OnFailure(*SocketAddress::Parse(absl::StrCat("10.0.0.", i, ":8080")));
  }
  loop_.AdvanceTime(absl::Seconds(0.3));
  EXPECT_THAT(scripted_.dialled, ElementsAre("10.0.0.1"));
}

TEST_F(OutboundRetryTest, TheLastEndpointHasAllTheTimeThatIsLeft) {
  scripted_.hanging = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
  Connect("10.96.0.1:80");
  loop_.AdvanceTime(absl::Seconds(24.9));
  EXPECT_EQ(registry_.size(), 1u);
  EXPECT_THAT(scripted_.dialled, SizeIs(3));
  loop_.AdvanceTime(absl::Seconds(0.2));
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr("\"connect-timeout\""));
}

TEST_F(OutboundRetryTest, WhatWaitsForOurOwnSignerIsNobodysFault) {
  scripted_.hanging = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
  scripted_.waits_for_peer = false;
  Connect("10.96.0.1:80");
  loop_.AdvanceTime(absl::Seconds(24.9));
  EXPECT_THAT(scripted_.dialled, SizeIs(1));
  EXPECT_THAT(outliers_.View(), IsEmpty());
}

TEST_F(OutboundRetryTest, OneDeadlineHoldsForAllAttempts) {
  for (int i = 1; i <= 3; ++i) scripted_.answers[absl::StrCat("10.0.0.", i)] = 0;
  scripted_.failures["10.0.0.1"] = absl::UnavailableError("refused");
  Connect("10.96.0.1:80");
  loop_.AdvanceTime(2 * config_.connect_timeout + config_.handshake_timeout);
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr("\"connect-timeout\""));
}

TEST_F(OutboundRetryTest, EjectsAnEndpointThatFailsAndRestoresIt) {
  scripted_.failures["10.0.0.1"] = absl::UnavailableError("refused");
  while (outliers_.View().empty()) {
    Connect("10.96.0.1:80");
    EXPECT_TRUE(Carried());
    registry_.AbortAll(access_reason::kDrained, "");
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(outliers_.View()[0].endpoint, "10.0.0.1:8080");
  EXPECT_TRUE(outliers_.Ejected(*SocketAddress::Parse("10.0.0.1:8080")));
  scripted_.dialled.clear();
  for (int i = 0; i < 30; ++i) Connect("10.96.0.1:80");
  EXPECT_THAT(scripted_.dialled, Not(Contains("10.0.0.1")));
  // Its time is over, and it is well again.
  scripted_.failures.clear();
  loop_.AdvanceTime(absl::Milliseconds(1300));
  for (int i = 0; i < 30 && !outliers_.View().empty(); ++i) Connect("10.96.0.1:80");
  EXPECT_THAT(outliers_.View(), IsEmpty());
}

TEST_F(OutboundRetryTest, WhoHasSaidThatItGoesIsLeftForOthersUntilItsTimeIsOver) {
  while (scripted_.peers.empty() || scripted_.dialled.back() != "10.0.0.1") Connect("10.96.0.1:80");
  scripted_.peers.back()->session->Drain();
  loop_.RunUntilIdle();
  EXPECT_TRUE(tunnels_.Leaving(*IpAddress::Parse("10.0.0.1")));
  EXPECT_FALSE(tunnels_.Leaving(*IpAddress::Parse("10.0.0.2")));
  scripted_.dialled.clear();
  scripted_.hanging = {"10.0.0.1"};
  for (int i = 0; i < 30; ++i) Connect("10.96.0.1:80");
  EXPECT_THAT(scripted_.dialled, Not(Contains("10.0.0.1")));
  EXPECT_THAT(outliers_.View(), IsEmpty());
  loop_.AdvanceTime(absl::Seconds(2));
  scripted_.hanging.clear();
  // The third one may not have been dialled yet.
  const auto is_dialled = [this] { return absl::c_linear_search(scripted_.dialled, "10.0.0.1"); };
  for (int i = 0; i < 200 && !is_dialled(); ++i) Connect("10.96.0.1:80");
  EXPECT_TRUE(is_dialled());
}

TEST_F(OutboundRetryTest, WhoHasANewCertificateIsNotLeft) {
  Connect("10.0.0.1:8080");
  scripted_.peers.back()->session->Drain(ConnectSession::After::kStays);
  loop_.RunUntilIdle();
  EXPECT_FALSE(tunnels_.Leaving(*IpAddress::Parse("10.0.0.1")));
  Connect("10.0.0.1:8080");
  EXPECT_EQ(scripted_.peers.size(), 2u);
}

TEST_F(OutboundRetryTest, WhoHasSaidThatItGoesAndIsTheOnlyOneIsAskedAndIsThereAgain) {
  Connect("10.0.0.1:8080");
  scripted_.peers.back()->session->Drain();
  loop_.RunUntilIdle();
  ASSERT_TRUE(tunnels_.Leaving(*IpAddress::Parse("10.0.0.1")));
  Connect("10.0.0.1:8080");
  EXPECT_EQ(scripted_.peers.size(), 2u);
  EXPECT_FALSE(tunnels_.Leaving(*IpAddress::Parse("10.0.0.1")));
}

TEST_F(OutboundRetryTest, WhoWaitsForAnEndpointThatGoesWaitsShortlyWhereThereAreOthers) {
  TunnelPool::Options options;
  options.max_streams_per_tunnel = 1;
  TunnelPool small(&loop_, &scripted_, options, TunnelPool::Metrics());
  TunnelPool::Identity identity;
  identity.generation = 1;
  small.SetIdentity(std::move(identity));
  context_.pool = &small;
  Connect("10.0.0.1:8080");
  FakePeer& going = *scripted_.peers.back();
  // Another tunnel is being made.
  scripted_.hanging = {"10.0.0.1"};
  scripted_.dialled.clear();
  const auto is_dialled = [this] { return absl::c_linear_search(scripted_.dialled, "10.0.0.1"); };
  for (int i = 0; i < 60 && !is_dialled(); ++i) Connect("10.96.0.1:80");
  ASSERT_TRUE(is_dialled());
  while (Carried()) {
    // Of those before.
  }
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_FALSE(Carried()) << "it has three seconds";
  going.session->Drain();
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_TRUE(Carried());
  EXPECT_THAT(outliers_.View(), IsEmpty()) << "it has not failed";
  EXPECT_THAT(EndAndTakeLog(), HasSubstr("10.0.0.1:8080 is going, and there are others"));
  context_.pool = &tunnels_;
}

TEST_F(OutboundRetryTest, AReusedAddressIsAskedAboutAndTheAnswerTried) {
  scripted_.accounts["10.0.0.1"] = "other";
  Connect("10.0.0.1:8080");
  ASSERT_THAT(questions_, SizeIs(1));
  EXPECT_EQ(questions_[0].second, *IpAddress::Parse("10.0.0.1"));
  EXPECT_EQ(refreshes_, 1);
  AddEndpoint(1, "other");
  Publish();
  Answer(Outcome::kFound);
  EXPECT_TRUE(Carried());
  EXPECT_EQ(metrics_.stale_endpoints->value(), 1u);
  EXPECT_THAT(EndAndTakeLog(),
              AllOf(HasSubstr("\"attempts\":2"), HasSubstr("\"peer-identity-mismatch: peer is")));
}

TEST_F(OutboundRetryTest, AnAddressWhoseOwnerIsNotWhoTheControlPlaneSaysIsRefused) {
  scripted_.accounts["10.0.0.1"] = "other";
  for (const Outcome outcome : {Outcome::kFound, Outcome::kNotInMesh, Outcome::kUnavailable,
                                Outcome::kTimedOut, Outcome::kOverloaded}) {
    scripted_.dialled.clear();
    Connect("10.0.0.1:8080");
    Answer(outcome);
    EXPECT_EQ(registry_.size(), 0u);
    EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"reason\":\"peer-identity-mismatch\""),
                                 HasSubstr("peer is spiffe://cluster.local/ns/demo/sa/other")));
    EXPECT_THAT(scripted_.dialled, SizeIs(1));
    questions_.clear();
  }
}

TEST_F(OutboundRetryTest, AStaleEndpointOfAServiceIsReplacedByAnother) {
  scripted_.accounts["10.0.0.1"] = "other";
  while (questions_.empty()) Connect("10.96.0.1:80");
  update_.add_removals("w1");
  Publish();
  Answer(Outcome::kNotInMesh);
  EXPECT_THAT(EndAndTakeLog(),
              AllOf(HasSubstr("\"attempts\":2"), HasSubstr("\"peer-identity-mismatch: peer is")));
}

TEST_F(OutboundRetryTest, AsksOnceAboutAnAddressThatStaysAnother) {
  scripted_.accounts["10.0.0.1"] = "other";
  Connect("10.0.0.1:8080");
  AddEndpoint(1, "third");
  Publish();
  Answer(Outcome::kFound);
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_THAT(questions_, SizeIs(1));
  EXPECT_THAT(scripted_.dialled, SizeIs(2));
  EXPECT_THAT(TakeLog(), HasSubstr("\"reason\":\"peer-identity-mismatch\""));
}

}  // namespace
}  // namespace byrnie
