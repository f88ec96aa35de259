// Whom a RedirectedConnection lets in, and whom it makes room for.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/hello_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/handshake_turns.h"
#include "proxy/testing/redirected_pair.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class RedirectedStrictTest : public RedirectedPairTest {};

TEST_F(RedirectedStrictTest, StrictRefusesPlaintextAtItsFirstByte) {
  config_.inbound.strict = true;
  const auto client = Connect();
  EXPECT_EQ(registry_.size(), 1u);
  WriteText(client.get(), "G");
  ExpectRefused("plaintext-refused", "plaintext-in-strict-mode");
}

TEST_F(RedirectedStrictTest, StrictRefusesTheApplicationsOwnTls) {
  config_.inbound.strict = true;
  const auto client = Connect();
  WriteText(client.get(), HelloBytes({"h2"}, "a.example"));
  ExpectRefused("plaintext-refused", "application-tls-in-strict-mode");
}

TEST_F(RedirectedStrictTest, StrictRefusesAnEndWithoutAByte) {
  config_.inbound.strict = true;
  const auto client = Connect();
  client->ShutdownWrite();
  ExpectRefused("plaintext-refused", "nothing");
}

TEST_F(RedirectedStrictTest, StrictWaitsFiveSecondsForTheRestOfAHello) {
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

TEST_F(RedirectedStrictTest, StrictWaitsFiveSecondsForASilentClient) {
  config_.inbound.strict = true;
  const auto client = Connect();
  loop_.AdvanceTime(absl::Milliseconds(4900));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(100));
  ExpectRefused("handshake-silent", "no byte within 5s");
  EXPECT_EQ(direct_arrivals_.size(), 0u);
}

TEST_F(RedirectedStrictTest, StrictTakesAClientThatIsSlowToBegin) {
  config_.inbound.strict = true;
  auto raw = Connect();
  loop_.AdvanceTime(absl::Milliseconds(1500));
  loop_.RunUntilIdle();
  const auto client = Shake(std::move(raw), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
}

TEST_F(RedirectedStrictTest, StrictWaitsOneSecondForASilentClientWhereOthersNeedTheRoom) {
  config_.inbound.strict = true;
  HandshakeTurns turns(&loop_, {2, 2}, &counts_.direct_arrivals, metrics_.handshakes_open);
  context_.direct_arrivals = &turns;
  const auto first = Connect();
  const auto second = Connect();
  loop_.AdvanceTime(absl::Milliseconds(990));
  loop_.RunUntilIdle();
  EXPECT_EQ(registry_.size(), 2u);
  loop_.AdvanceTime(absl::Milliseconds(20));
  ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 1; }));
  EXPECT_THAT(PeekLog(), HasSubstr("no byte within 1s"));
  registry_.AbortAll(access_reason::kDrained, "");
  loop_.RunUntilIdle();
  context_.direct_arrivals = &direct_arrivals_;
}

TEST_F(RedirectedStrictTest, StrictCountsNobodyAsAConnectionBeforeThePeerIsVerified) {
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

TEST_F(RedirectedStrictTest, TheOldestSilentConnectionOfASourceMakesRoom) {
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

TEST_F(RedirectedStrictTest, StrictDialsNobodyBeforeThePeerIsVerified) {
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

TEST_F(RedirectedStrictTest, OneSourceHasNoMoreHandshakesThanItsShare) {
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

TEST_F(RedirectedStrictTest, AHandshakeMakesRoomForThatOfALessBusySource) {
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

TEST_F(RedirectedStrictTest, AStrangersCertificateIsRefused) {
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

TEST_F(RedirectedStrictTest, APolicyThatDeniesThePeerKeepsItFromTheApplication) {
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

TEST_F(RedirectedStrictTest, APolicyThatNeedsAnIdentityMakesThePortStrict) {
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
  loop_.AdvanceTime(absl::Seconds(5));
  ExpectRefused("handshake-silent");
  const auto client = Shake(Connect(), ca_, peer_);
  ASSERT_TRUE(AwaitApp());
  WriteText(client.get(), "hello");
  EXPECT_EQ(Await(apps_[0].get(), 5), "hello");
}

TEST_F(RedirectedStrictTest, StrictModeMayComeAsAPolicy) {
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

TEST_F(RedirectedStrictTest, APortMayHaveAModeOfItsOwn) {
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

TEST_F(RedirectedStrictTest, ADeclaredProbePassesInStrictMode) {
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

TEST_F(RedirectedStrictTest, AProbeFromElsewhereIsPlaintext) {
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

TEST_F(RedirectedStrictTest, WithoutPoliciesNobodyIsHeard) {
  auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
  mesh->policies = nullptr;
  context_.mesh = std::move(mesh);
  const auto client = Connect();
  ExpectRefused("no-policy-snapshot");
}

TEST_F(RedirectedStrictTest, APolicyThatComesLaterEndsASilentConnection) {
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

TEST_F(RedirectedStrictTest, APolicyThatComesLaterEndsMeshTls) {
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

}  // namespace
}  // namespace byrnie
