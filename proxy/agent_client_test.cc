#include "proxy/agent_client.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/link/frame_stream.h"
#include "common/net/socket_address.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/telemetry/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using link::v1::AgentMessage;
using link::v1::ProxyMessage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The other end of the link.
class FakeAgent final : public FrameStream::Delegate {
 public:
  FakeAgent(EventLoop* loop, std::unique_ptr<ByteStream> transport)
      : frames_(std::make_unique<FrameStream>(loop, std::move(transport), this)) {}

  void Send(const AgentMessage& message) {
    ASSERT_TRUE(frames_->Send(message.SerializeAsString()).ok());
  }
  void SendHello(uint32_t version = 1) {
    AgentMessage message;
    message.mutable_hello()->set_protocol_version(version);
    Send(message);
  }
  void Vanish() { frames_.reset(); }

  std::vector<ProxyMessage> received;
  bool closed = false;

 private:
  void OnFrame(absl::string_view payload) override {
    received.emplace_back();
    ASSERT_TRUE(received.back().ParseFromArray(payload.data(), static_cast<int>(payload.size())));
  }
  void OnClosed(const absl::Status&) override { closed = true; }

  std::unique_ptr<FrameStream> frames_;
};

// At whole frames and at one byte a time.
class AgentClientTest : public ::testing::TestWithParam<bool>, public AgentClient::Delegate {
 protected:
  AgentClientTest()
      : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError),
        client_(
            &loop_,
            [this]() -> absl::StatusOr<std::unique_ptr<ByteStream>> {
              dials_.push_back(loop_.Now());
              if (!listening_) return absl::UnavailableError("nobody listens");
              const auto quota =
                  GetParam() ? MemoryStreamPair::Quota::OneByte() : MemoryStreamPair::Quota();
              MemoryStreamPair pair(&loop_, quota, quota);
              agent_ = std::make_unique<FakeAgent>(&loop_, pair.TakeB());
              return pair.TakeA();
            },
            AgentClient::Options(), this, &logger_) {}

  absl::Status OnIdentityUpdate(const link::v1::IdentityUpdate&) override { return verdict_; }
  absl::Status OnPolicyUpdate(const link::v1::PolicyUpdate&) override { return verdict_; }
  absl::Status OnAddressUpdate(const link::v1::AddressUpdate&) override {
    ++address_updates_;
    return verdict_;
  }
  void OnResolveResponse(uint64_t id, link::v1::ResolveResponse::Result) override {
    resolved_.push_back(id);
  }
  void OnFlowAck(bool tell_all) override { flow_acks_.push_back(tell_all); }
  void OnFlowsLost() override { ++flows_lost_; }
  void OnLinkUp() override { ++ups_; }
  void OnLinkDown(const absl::Status&) override { ++downs_; }

  void BringUp() {
    client_.Start();
    loop_.RunUntilIdle();
    agent_->SendHello();
    loop_.RunUntilIdle();
    ASSERT_TRUE(client_.up());
    agent_->received.clear();
  }
  void Sign() {
    client_.Sign("abcd", 0x0403, "input", [this](absl::StatusOr<std::string> signature) {
      signatures_.push_back(std::move(signature));
    });
  }

  ManualEventLoop loop_;
  Logger logger_;
  bool listening_ = true;
  absl::Status verdict_;
  std::vector<bool> flow_acks_;
  int flows_lost_ = 0;
  std::vector<absl::Duration> dials_;
  std::unique_ptr<FakeAgent> agent_;
  std::vector<absl::StatusOr<std::string>> signatures_;
  std::vector<uint64_t> resolved_;
  int ups_ = 0;
  int downs_ = 0;
  int address_updates_ = 0;
  AgentClient client_;
};

TEST_P(AgentClientTest, GreetsAndComesUpOnTheAgentsHello) {
  client_.Start();
  loop_.RunUntilIdle();
  ASSERT_NE(agent_, nullptr);
  ASSERT_THAT(agent_->received, SizeIs(1));
  EXPECT_EQ(agent_->received[0].hello().protocol_version(), 1u);
  EXPECT_FALSE(client_.up());
  agent_->SendHello();
  loop_.RunUntilIdle();
  EXPECT_TRUE(client_.up());
  EXPECT_EQ(ups_, 1);
}

TEST_P(AgentClientTest, TriesAgainWithGrowingDelayUntilSomebodyListens) {
  listening_ = false;
  client_.Start();
  loop_.AdvanceTime(absl::Seconds(10));
  ASSERT_GE(dials_.size(), 8u);
  EXPECT_EQ(dials_[1] - dials_[0], absl::Milliseconds(50));
  EXPECT_EQ(dials_[2] - dials_[1], absl::Milliseconds(100));
  EXPECT_EQ(dials_.back() - dials_[dials_.size() - 2], absl::Seconds(2));
  listening_ = true;
  loop_.AdvanceTime(absl::Seconds(2));
  agent_->SendHello();
  loop_.RunUntilIdle();
  EXPECT_TRUE(client_.up());
}

TEST_P(AgentClientTest, LeavesAnAgentOfAnotherProtocol) {
  client_.Start();
  loop_.RunUntilIdle();
  agent_->SendHello(2);
  loop_.RunUntilIdle();
  EXPECT_FALSE(client_.up());
  EXPECT_TRUE(agent_->closed);
}

TEST_P(AgentClientTest, TriesAgainWhenTheAgentRefusesIt) {
  client_.Start();
  loop_.RunUntilIdle();
  AgentMessage message;
  message.mutable_refusal()->set_reason("another proxy is connected");
  agent_->Send(message);
  loop_.RunUntilIdle();
  EXPECT_FALSE(client_.up());
  EXPECT_EQ(downs_, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_GE(dials_.size(), 2u);
  agent_->SendHello();
  loop_.RunUntilIdle();
  EXPECT_TRUE(client_.up());
}

TEST_P(AgentClientTest, LeavesAnAgentThatDoesNotSayHello) {
  client_.Start();
  loop_.AdvanceTime(absl::Milliseconds(5100));
  EXPECT_GE(dials_.size(), 2u);
  EXPECT_EQ(downs_, 0);
}

TEST_P(AgentClientTest, LeavesAnAgentWhoseFirstMessageIsNotHello) {
  client_.Start();
  loop_.RunUntilIdle();
  AgentMessage message;
  message.mutable_addresses()->set_replace_all(true);
  agent_->Send(message);
  loop_.RunUntilIdle();
  EXPECT_EQ(address_updates_, 0);
  EXPECT_TRUE(agent_->closed);
}

TEST_P(AgentClientTest, AcknowledgesWhatIsInForceAndRejectsTheRestWithAReason) {
  BringUp();
  AgentMessage message;
  message.mutable_identity()->set_generation(7);
  agent_->Send(message);
  loop_.RunUntilIdle();
  verdict_ = absl::InvalidArgumentError("no such action");
  message.mutable_policies()->set_epoch(8);
  agent_->Send(message);
  loop_.RunUntilIdle();
  ASSERT_THAT(agent_->received, SizeIs(2));
  EXPECT_EQ(agent_->received[0].ack().identity_generation(), 7u);
  EXPECT_EQ(agent_->received[0].ack().error(), "");
  EXPECT_EQ(agent_->received[1].ack().policy_epoch(), 8u);
  EXPECT_EQ(agent_->received[1].ack().error(), "no such action");
  EXPECT_TRUE(client_.up());
}

TEST_P(AgentClientTest, BringsSignaturesAndRefusals) {
  BringUp();
  Sign();
  Sign();
  loop_.RunUntilIdle();
  ASSERT_THAT(agent_->received, SizeIs(2));
  EXPECT_EQ(agent_->received[0].sign_request().leaf_fingerprint(), "abcd");
  EXPECT_EQ(agent_->received[0].sign_request().input(), "input");
  AgentMessage message;
  message.mutable_sign_response()->set_id(agent_->received[1].sign_request().id());
  message.mutable_sign_response()->set_error("not that");
  agent_->Send(message);
  message.mutable_sign_response()->set_id(agent_->received[0].sign_request().id());
  message.mutable_sign_response()->set_error("");
  message.mutable_sign_response()->set_signature("sig");
  agent_->Send(message);
  loop_.RunUntilIdle();
  ASSERT_THAT(signatures_, SizeIs(2));
  EXPECT_THAT(signatures_[0].status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not that")));
  ASSERT_THAT(signatures_[1], IsOk());
  EXPECT_EQ(*signatures_[1], "sig");
}

TEST_P(AgentClientTest, AsksForSignaturesAgainAfterTheLinkWasLost) {
  BringUp();
  Sign();
  loop_.RunUntilIdle();
  agent_->Vanish();
  loop_.RunUntilIdle();
  EXPECT_FALSE(client_.up());
  EXPECT_EQ(downs_, 1);
  EXPECT_THAT(signatures_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(50));
  agent_->SendHello();
  loop_.RunUntilIdle();
  ASSERT_THAT(agent_->received, SizeIs(2));
  AgentMessage message;
  message.mutable_sign_response()->set_id(agent_->received[1].sign_request().id());
  message.mutable_sign_response()->set_signature("sig");
  agent_->Send(message);
  loop_.RunUntilIdle();
  ASSERT_THAT(signatures_, SizeIs(1));
  EXPECT_THAT(signatures_[0], IsOk());
}

TEST_P(AgentClientTest, FailsSignaturesAtTheHandshakesDeadline) {
  listening_ = false;
  client_.Start();
  loop_.RunUntilIdle();
  Sign();
  loop_.AdvanceTime(absl::Milliseconds(4900));
  EXPECT_THAT(signatures_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(200));
  ASSERT_THAT(signatures_, SizeIs(1));
  EXPECT_THAT(signatures_[0].status(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(AgentClientTest, BoundsTheSignaturesThatWait) {
  listening_ = false;
  for (int i = 0; i < 1025; ++i) Sign();
  EXPECT_THAT(signatures_, IsEmpty());
  loop_.RunUntilIdle();
  EXPECT_THAT(signatures_, SizeIs(1));
}

TEST_P(AgentClientTest, AsksAndHearsWhatAnAddressIs) {
  EXPECT_THAT(client_.SendResolve(1, *IpAddress::Parse("10.0.0.1"), false),
              StatusIs(absl::StatusCode::kUnavailable));
  BringUp();
  EXPECT_THAT(client_.SendResolve(2, *IpAddress::Parse("10.0.0.1"), true), IsOk());
  loop_.RunUntilIdle();
  ASSERT_THAT(agent_->received, SizeIs(1));
  EXPECT_EQ(agent_->received[0].resolve_request().address(), std::string("\x0a\x00\x00\x01", 4));
  EXPECT_TRUE(agent_->received[0].resolve_request().refresh());
  AgentMessage message;
  message.mutable_resolve_response()->set_id(2);
  message.mutable_resolve_response()->set_result(link::v1::ResolveResponse::RESULT_FOUND);
  agent_->Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(resolved_, ElementsAre(2));
}

TEST_P(AgentClientTest, TellsOfConnectionsAndHearsThatTheyWerePassedOn) {
  link::v1::FlowReport report;
  report.set_instance(7);
  EXPECT_THAT(client_.SendFlows(report), StatusIs(absl::StatusCode::kUnavailable));
  BringUp();
  EXPECT_THAT(client_.SendFlows(report), IsOk());
  loop_.RunUntilIdle();
  ASSERT_THAT(agent_->received, SizeIs(1));
  EXPECT_EQ(agent_->received[0].flow_report().instance(), 7u);
  AgentMessage message;
  message.mutable_flow_ack()->set_tell_all(true);
  agent_->Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(flow_acks_, ElementsAre(true));
  EXPECT_EQ(flows_lost_, 0);
  message.mutable_flows_lost();
  agent_->Send(message);
  loop_.RunUntilIdle();
  EXPECT_THAT(flow_acks_, ElementsAre(true));
  EXPECT_EQ(flows_lost_, 1);
}

TEST_P(AgentClientTest, EndsTheLinkOverAMessageItDoesNotKnow) {
  BringUp();
  agent_->Send(AgentMessage());
  loop_.RunUntilIdle();
  EXPECT_FALSE(client_.up());
}

INSTANTIATE_TEST_SUITE_P(Quotas, AgentClientTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& info) {
                           return info.param ? "OneByteAtATime" : "WholeFrames";
                         });

}  // namespace
}  // namespace byrnie
