#include "certagent/link_session.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using link::v1::AgentMessage;
using link::v1::ProxyMessage;
using link::v1::ResolveResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Quota = MemoryStreamPair::Quota;

class FakeBackend final : public LinkBackend {
 public:
  IdentitySnapshotPtr Identity() override { return identity; }
  absl::optional<PolicySet> Policies() override { return policies; }
  std::vector<AddressPtr> Addresses() override { return addresses; }
  absl::StatusOr<std::string> Sign(absl::string_view fingerprint, uint32_t scheme,
                                   absl::string_view input) override {
    if (scheme != 0x0403) return absl::InvalidArgumentError("no such scheme");
    return absl::StrCat("signed ", fingerprint, " ", input);
  }
  void OnIdentityInForce(uint64_t generation) override { in_force.push_back(generation); }
  void OnProxyGone() override {}
  void Resolve(const IpAddress& address, bool refresh, ResolveCallback done) override {
    asked.push_back(absl::StrCat(address.ToString(), refresh ? " anew" : ""));
    waiting.push_back(std::move(done));
  }
  absl::Status ForwardFlows(const link::v1::FlowReport& report, FlowCallback done) override {
    flows.push_back(report);
    if (report.instance() == 0) return absl::InvalidArgumentError("instance");
    flow_done = std::move(done);
    return absl::OkStatus();
  }

  IdentitySnapshotPtr identity;
  absl::optional<PolicySet> policies;
  std::vector<AddressPtr> addresses;
  std::vector<uint64_t> in_force;
  std::vector<std::string> asked;
  std::vector<ResolveCallback> waiting;
  std::vector<link::v1::FlowReport> flows;
  FlowCallback flow_done;
};

// The proxy's end, as raw messages.
class FakeProxy final : public FrameStream::Delegate {
 public:
  void OnFrame(absl::string_view payload) override {
    messages.emplace_back();
    ASSERT_TRUE(messages.back().ParseFromArray(payload.data(), static_cast<int>(payload.size())));
  }
  void OnClosed(const absl::Status&) override { closed = true; }
  void Send(const ProxyMessage& message) {
    EXPECT_THAT(stream->Send(message.SerializeAsString()), IsOk());
  }
  void SendHello(uint32_t version = 1) {
    ProxyMessage message;
    message.mutable_hello()->set_protocol_version(version);
    message.mutable_hello()->set_release("9.9");
    Send(message);
  }

  std::unique_ptr<FrameStream> stream;
  std::vector<AgentMessage> messages;
  bool closed = false;
};

AddressPtr Workload(const std::string& uid, size_t padding = 0) {
  istio::workload::Address address;
  address.mutable_workload()->set_uid(uid);
  address.mutable_workload()->set_node(std::string(padding, 'n'));
  return std::make_shared<const istio::workload::Address>(address);
}

class LinkSessionTest : public ::testing::TestWithParam<Quota> {
 protected:
  LinkSessionTest() : pair_(&loop_, GetParam(), GetParam()) {
    session_ = std::make_unique<LinkSession>(&loop_, pair_.TakeA(), &backend_, &log_,
                                             [this](const absl::Status& why) {
                                               ended_.push_back(why);
                                               session_.reset();
                                             });
    proxy_.stream = std::make_unique<FrameStream>(&loop_, pair_.TakeB(), &proxy_);
  }

  void SayHello() {
    backend_.addresses = {Workload("own")};
    proxy_.SendHello();
    loop_.RunUntilIdle();
    proxy_.messages.clear();
  }

  void MakeIdentity() {
    auto root_key = *PrivateKey::Generate();
    auto leaf_key = *PrivateKey::Generate();
    CertificateSpec root;
    root.common_name = "root";
    root.is_ca = true;
    root.not_before = loop_.WallNow();
    root.not_after = loop_.WallNow() + absl::Hours(1);
    CertificatePtr root_certificate =
        *BuildCertificate(root, root_key->PublicKeyDer(), nullptr, *root_key);
    CertificateSpec leaf = root;
    leaf.common_name = "";
    leaf.is_ca = false;
    leaf.uri_sans = {"spiffe://cluster.local/ns/demo/sa/client"};
    CertificatePtr leaf_certificate =
        *BuildCertificate(leaf, leaf_key->PublicKeyDer(), root_certificate.get(), *root_key);
    ASSERT_OK_AND_ASSIGN(TrustBundleSet bundles,
                         TrustBundleSet::Create({{"cluster.local", {{root_certificate}}}}));
    ASSERT_OK_AND_ASSIGN(backend_.identity,
                         IdentitySnapshot::Create(5, {leaf_certificate}, bundles, loop_.WallNow()));
  }

  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  FakeBackend backend_;
  FakeProxy proxy_;
  std::vector<absl::Status> ended_;
  std::unique_ptr<LinkSession> session_;
};

TEST_P(LinkSessionTest, SaysHelloAndWaitsForTheProxys) {
  MakeIdentity();
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 1u);
  EXPECT_EQ(proxy_.messages[0].hello().protocol_version(), 1u);
  EXPECT_FALSE(session_->open());
}

TEST_P(LinkSessionTest, SendsTheWholeStateAfterHello) {
  MakeIdentity();
  backend_.addresses = {Workload("a")};
  backend_.policies = PolicySet{3, {std::make_shared<const istio::security::Authorization>()}};
  proxy_.SendHello();
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 4u);
  const auto& identity = proxy_.messages[1].identity();
  EXPECT_EQ(identity.generation(), 5u);
  EXPECT_THAT(identity.certificate_chain(), ElementsAre(backend_.identity->leaf().der()));
  ASSERT_EQ(identity.bundles_size(), 1);
  EXPECT_EQ(identity.bundles(0).trust_domain(), "cluster.local");
  EXPECT_EQ(identity.bundles(0).roots_size(), 1);
  EXPECT_TRUE(proxy_.messages[2].addresses().replace_all());
  EXPECT_EQ(proxy_.messages[2].addresses().upserts_size(), 1);
  EXPECT_EQ(proxy_.messages[3].policies().epoch(), 3u);
  EXPECT_EQ(proxy_.messages[3].policies().policies_size(), 1);
  EXPECT_EQ(session_->proxy_release(), "9.9");
}

TEST_P(LinkSessionTest, SaysNothingOfWhatItDoesNotKnowYet) {
  proxy_.SendHello();
  loop_.RunUntilIdle();
  // Above all not that there are no addresses: the proxy may know some of an agent before.
  EXPECT_EQ(proxy_.messages.size(), 1u);
}

TEST_P(LinkSessionTest, SendsAllAddressesOnceItKnowsAnyAndThenChanges) {
  proxy_.SendHello();
  loop_.RunUntilIdle();
  backend_.addresses = {Workload("a"), Workload("b")};
  session_->SendAddresses({Workload("b")}, {});
  session_->SendAddresses({Workload("c")}, {});
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 3u);
  EXPECT_TRUE(proxy_.messages[1].addresses().replace_all());
  EXPECT_EQ(proxy_.messages[1].addresses().upserts_size(), 2);
  EXPECT_FALSE(proxy_.messages[2].addresses().replace_all());
  EXPECT_EQ(proxy_.messages[2].addresses().upserts_size(), 1);
}

TEST_P(LinkSessionTest, SaysThatThereAreNoAddressesOnceItKnowsThat) {
  proxy_.SendHello();
  loop_.RunUntilIdle();
  backend_.policies = PolicySet{1, {}};
  session_->SendPolicies(*backend_.policies);
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 3u);
  EXPECT_TRUE(proxy_.messages[1].addresses().replace_all());
  EXPECT_EQ(proxy_.messages[2].policies().epoch(), 1u);
}

TEST_P(LinkSessionTest, AnswersSignRequests) {
  SayHello();
  ProxyMessage request;
  request.mutable_sign_request()->set_id(11);
  request.mutable_sign_request()->set_leaf_fingerprint("ab");
  request.mutable_sign_request()->set_scheme(0x0403);
  request.mutable_sign_request()->set_input("text");
  proxy_.Send(request);
  request.mutable_sign_request()->set_id(12);
  request.mutable_sign_request()->set_scheme(1);
  proxy_.Send(request);
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 2u);
  EXPECT_EQ(proxy_.messages[0].sign_response().id(), 11u);
  EXPECT_EQ(proxy_.messages[0].sign_response().signature(), "signed ab text");
  EXPECT_EQ(proxy_.messages[0].sign_response().error(), "");
  EXPECT_EQ(proxy_.messages[1].sign_response().id(), 12u);
  EXPECT_EQ(proxy_.messages[1].sign_response().signature(), "");
  EXPECT_THAT(proxy_.messages[1].sign_response().error(), HasSubstr("scheme"));
}

TEST_P(LinkSessionTest, AnswersResolveRequestsAfterTheUpdatesTheyNeed) {
  SayHello();
  ProxyMessage request;
  request.mutable_resolve_request()->set_id(21);
  request.mutable_resolve_request()->set_address(std::string("\x0a\x60\x00\x0a", 4));
  proxy_.Send(request);
  loop_.RunUntilIdle();
  ASSERT_THAT(backend_.asked, ElementsAre("10.96.0.10"));
  EXPECT_THAT(proxy_.messages, IsEmpty());
  session_->SendAddresses({Workload("b")}, {"gone"});
  backend_.waiting[0](ResolveResult::kFound);
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), 2u);
  EXPECT_FALSE(proxy_.messages[0].addresses().replace_all());
  EXPECT_THAT(proxy_.messages[0].addresses().removals(), ElementsAre("gone"));
  EXPECT_EQ(proxy_.messages[1].resolve_response().id(), 21u);
  EXPECT_EQ(proxy_.messages[1].resolve_response().result(), ResolveResponse::RESULT_FOUND);
}

TEST_P(LinkSessionTest, PassesOnThatWhatIsKnownIsDoubted) {
  SayHello();
  ProxyMessage request;
  request.mutable_resolve_request()->set_id(22);
  request.mutable_resolve_request()->set_address(std::string("\x0a\x60\x00\x0a", 4));
  request.mutable_resolve_request()->set_refresh(true);
  proxy_.Send(request);
  loop_.RunUntilIdle();
  EXPECT_THAT(backend_.asked, ElementsAre("10.96.0.10 anew"));
}

TEST_P(LinkSessionTest, SurvivesAnAnswerAfterTheProxyHasGone) {
  SayHello();
  ProxyMessage request;
  request.mutable_resolve_request()->set_address(std::string(4, '\1'));
  proxy_.Send(request);
  loop_.RunUntilIdle();
  proxy_.stream.reset();
  loop_.RunUntilIdle();
  ASSERT_EQ(session_, nullptr);
  backend_.waiting[0](ResolveResult::kUnavailable);
  loop_.RunUntilIdle();
}

TEST_P(LinkSessionTest, RecordsWhatTheProxyAcknowledges) {
  SayHello();
  ProxyMessage ack;
  ack.mutable_ack()->set_identity_generation(5);
  proxy_.Send(ack);
  ack.mutable_ack()->set_policy_epoch(3);
  proxy_.Send(ack);
  ack.mutable_ack()->set_policy_epoch(4);
  ack.mutable_ack()->set_error("does not parse");
  proxy_.Send(ack);
  loop_.RunUntilIdle();
  EXPECT_EQ(session_->acknowledged().identity_generation, 5u);
  EXPECT_THAT(backend_.in_force, ElementsAre(5u));
  EXPECT_EQ(session_->acknowledged().policy_epoch, 3u);
  EXPECT_EQ(session_->acknowledged().error, "does not parse");
}

TEST_P(LinkSessionTest, AsksTheProxyWhetherItIsThere) {
  proxy_.SendHello();
  loop_.RunUntilIdle();
  std::vector<bool> answered;
  const auto note = [&answered](bool answer) { answered.push_back(answer); };
  session_->Ask(absl::Seconds(1), note);
  session_->Ask(absl::Seconds(2), note);
  loop_.RunUntilIdle();
  ASSERT_TRUE(proxy_.messages.back().has_question());
  ProxyMessage message;
  message.mutable_answer()->set_id(proxy_.messages.back().question().id());
  proxy_.Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(answered, ElementsAre(true));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(answered, ElementsAre(true, false));
  // The answer to the first, too late, is none to the next.
  session_->Ask(absl::Seconds(1), note);
  message.mutable_answer()->set_id(1);
  proxy_.Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(answered, ElementsAre(true, false));
  proxy_.stream.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(answered, ElementsAre(true, false, false));
}

TEST_P(LinkSessionTest, EndsWithoutAHelloInTime) {
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_THAT(ended_, ElementsAre(StatusIs(absl::StatusCode::kDeadlineExceeded)));
  EXPECT_TRUE(proxy_.closed);
}

TEST_P(LinkSessionTest, PassesFlowReportsOnAndAnswersThem) {
  proxy_.SendHello();
  ProxyMessage message;
  message.mutable_flow_report()->set_instance(7);
  proxy_.Send(message);
  loop_.RunUntilIdle();
  ASSERT_EQ(backend_.flows.size(), 1u);
  EXPECT_EQ(backend_.flows[0].instance(), 7u);
  const size_t before = proxy_.messages.size();
  backend_.flow_done(/*tell_all=*/true);
  loop_.RunUntilIdle();
  ASSERT_EQ(proxy_.messages.size(), before + 1);
  EXPECT_TRUE(proxy_.messages.back().flow_ack().tell_all());
}

TEST_P(LinkSessionTest, SaysThatFlowsAreLostToAProxyThatHasSaidHello) {
  session_->SendFlowsLost();
  loop_.RunUntilIdle();
  for (const AgentMessage& message : proxy_.messages) EXPECT_FALSE(message.has_flows_lost());
  proxy_.SendHello();
  loop_.RunUntilIdle();
  session_->SendFlowsLost();
  loop_.RunUntilIdle();
  EXPECT_TRUE(proxy_.messages.back().has_flows_lost());
}

TEST_P(LinkSessionTest, EndsOnAFlowReportThatIsNone) {
  proxy_.SendHello();
  ProxyMessage message;
  message.mutable_flow_report();
  proxy_.Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_, ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument)));
}

TEST_P(LinkSessionTest, AnAnswerToAFlowReportMayComeAfterTheEnd) {
  proxy_.SendHello();
  ProxyMessage message;
  message.mutable_flow_report()->set_instance(7);
  proxy_.Send(message);
  loop_.RunUntilIdle();
  session_.reset();
  backend_.flow_done(false);
}

TEST_P(LinkSessionTest, EndsWhenTheProxySpeaksAnotherVersion) {
  proxy_.SendHello(2);
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_,
              ElementsAre(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2"))));
}

TEST_P(LinkSessionTest, EndsWhenHelloComesTwiceOrNotFirst) {
  ProxyMessage ack;
  ack.mutable_ack()->set_policy_epoch(1);
  proxy_.Send(ack);
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_, ElementsAre(StatusIs(absl::StatusCode::kFailedPrecondition)));
}

TEST_P(LinkSessionTest, EndsOnAMessageThatDoesNotParseOrSaysNothing) {
  SayHello();
  EXPECT_THAT(proxy_.stream->Send("\xff\xff"), IsOk());
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_, ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument)));
}

TEST_P(LinkSessionTest, EndsOnAnAddressOfTheWrongSize) {
  SayHello();
  ProxyMessage request;
  request.mutable_resolve_request()->set_address("abc");
  proxy_.Send(request);
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_, ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument)));
}

INSTANTIATE_TEST_SUITE_P(Quotas, LinkSessionTest, ::testing::Values(Quota(), Quota::OneByte()),
                         [](const ::testing::TestParamInfo<Quota>& info) {
                           return info.index == 0 ? "Unlimited" : "OneByte";
                         });

using LinkSessionSizeTest = LinkSessionTest;

TEST_P(LinkSessionSizeTest, SplitsAStateThatIsLargerThanAFrame) {
  for (int i = 0; i < 100; ++i) {
    backend_.addresses.push_back(Workload(std::to_string(i), 100 * 1024));
  }
  proxy_.SendHello();
  loop_.RunUntilIdle();
  int addresses = 0, replacing = 0;
  for (const AgentMessage& message : proxy_.messages) {
    addresses += message.addresses().upserts_size();
    replacing += message.addresses().replace_all();
  }
  EXPECT_EQ(addresses, 100);
  EXPECT_EQ(replacing, 1);
  EXPECT_GT(proxy_.messages.size(), 10u);
}

INSTANTIATE_TEST_SUITE_P(Quotas, LinkSessionSizeTest, ::testing::Values(Quota()));

}  // namespace
}  // namespace byrnie
