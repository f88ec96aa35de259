#include "proxy/agent_client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

using link::v1::Ack;
using link::v1::AgentMessage;
using link::v1::ProxyMessage;
using link::v1::ResolveResponse;

constexpr uint32_t kProtocolVersion = 1;
// Of the agent's words, in logs.
constexpr size_t kMaxQuoted = 256;

}  // namespace

AgentClient::AgentClient(EventLoop* loop, Dialer dialer, const Options& options, Delegate* delegate,
                         Logger* logger)
    : loop_(loop),
      dialer_(std::move(dialer)),
      options_(options),
      delegate_(delegate),
      logger_(logger),
      backoff_(options.min_backoff),
      connect_timer_(loop->NewTimer([this] { OnConnectTimer(); })),
      sign_timer_(loop->NewTimer([this] { ExpireSigns(); })) {}

AgentClient::~AgentClient() = default;

void AgentClient::Start() { connect_timer_->Schedule(absl::ZeroDuration()); }

void AgentClient::OnConnectTimer() {
  if (state_ == State::kGreeting) {
    frames_->Close(absl::DeadlineExceededError("the agent did not say hello in time"));
    return;
  }
  if (state_ == State::kWaiting) Connect();
}

void AgentClient::Connect() {
  absl::StatusOr<std::unique_ptr<ByteStream>> stream = dialer_();
  if (!stream.ok()) {
    LinkLost(stream.status());
    return;
  }
  state_ = State::kGreeting;
  frames_ = std::make_unique<FrameStream>(loop_, *std::move(stream), this);
  connect_timer_->Schedule(options_.hello_timeout);
  ProxyMessage hello;
  hello.mutable_hello()->set_protocol_version(kProtocolVersion);
  hello.mutable_hello()->set_release(kRelease);
  // A stream that is already broken says so through OnClosed.
  Send(hello).IgnoreError();
}

void AgentClient::LinkLost(const absl::Status& why) {
  const bool was_up = state_ == State::kUp;
  state_ = State::kWaiting;
  frames_.reset();
  if (was_up) backoff_ = options_.min_backoff;
  connect_timer_->Schedule(backoff_);
  backoff_ = std::min(backoff_ * 2, options_.max_backoff);
  std::string text(why.message());
  if (was_up || text != last_failure_) {
    logger_->Warning("no link to the agent, trying again", {{"error", text}});
    last_failure_ = std::move(text);
  }
  if (was_up) delegate_->OnLinkDown(why);
}

void AgentClient::OnClosed(const absl::Status& status) {
  LinkLost(status.ok() ? absl::UnavailableError("the agent closed the link") : status);
}

absl::Status AgentClient::Send(const ProxyMessage& message) {
  return frames_->Send(message.SerializeAsString());
}

void AgentClient::OnFrame(absl::string_view payload) {
  AgentMessage message;
  absl::Status status;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    status = absl::InvalidArgumentError("a message from the agent does not parse");
  } else {
    status = HandleMessage(message);
  }
  if (!status.ok()) frames_->Close(std::move(status));
}

absl::Status AgentClient::HandleMessage(const AgentMessage& message) {
  if (message.has_refusal()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the agent refuses this proxy: ", message.refusal().reason().substr(0, kMaxQuoted)));
  }
  if ((state_ == State::kGreeting) != message.has_hello()) {
    return absl::InvalidArgumentError("the agent's first message, and only that, must be hello");
  }
  switch (message.content_case()) {
    case AgentMessage::kHello:
      return HandleHello(message.hello());
    case AgentMessage::kIdentity: {
      const absl::Status status = delegate_->OnIdentityUpdate(message.identity());
      Ack ack;
      ack.set_identity_generation(message.identity().generation());
      if (!status.ok()) {
        logger_->Error("rejected the agent's identity, keeping the present one",
                       {{"error", status.message()}});
      }
      SendAck(std::move(ack), status);
      return absl::OkStatus();
    }
    case AgentMessage::kPolicies: {
      const absl::Status status = delegate_->OnPolicyUpdate(message.policies());
      Ack ack;
      ack.set_policy_epoch(message.policies().epoch());
      if (!status.ok()) {
        logger_->Error("rejected the agent's policies, keeping the present ones",
                       {{"error", status.message()}});
      }
      SendAck(std::move(ack), status);
      return absl::OkStatus();
    }
    case AgentMessage::kAddresses: {
      const absl::Status status = delegate_->OnAddressUpdate(message.addresses());
      if (!status.ok()) {
        logger_->Error("rejected the agent's addresses, keeping the present ones",
                       {{"error", status.message()}});
      }
      return absl::OkStatus();
    }
    case AgentMessage::kSignResponse:
      HandleSignResponse(message.sign_response());
      return absl::OkStatus();
    case AgentMessage::kResolveResponse:
      if (message.resolve_response().result() == ResolveResponse::RESULT_UNSPECIFIED) {
        return absl::InvalidArgumentError("a resolve response from the agent has no result");
      }
      delegate_->OnResolveResponse(message.resolve_response().id(),
                                   message.resolve_response().result());
      return absl::OkStatus();
    case AgentMessage::kFlowAck:
      delegate_->OnFlowAck(message.flow_ack().tell_all());
      return absl::OkStatus();
    case AgentMessage::kFlowsLost:
      delegate_->OnFlowsLost();
      return absl::OkStatus();
    case AgentMessage::kQuestion: {
      link::v1::ProxyMessage answer;
      answer.mutable_answer()->set_id(message.question().id());
      return Send(answer);
    }
    case AgentMessage::kRefusal:
    case AgentMessage::CONTENT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message from the agent has no known content");
}

absl::Status AgentClient::HandleHello(const link::v1::AgentHello& hello) {
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the agent speaks link protocol ", hello.protocol_version(), ", this proxy ",
                     kProtocolVersion, "; run both of one release"));
  }
  state_ = State::kUp;
  backoff_ = options_.min_backoff;
  last_failure_.clear();
  connect_timer_->Cancel();
  logger_->Info("linked to the agent", {{"agent_release", hello.release().substr(0, kMaxQuoted)}});
  // Whatever was sent over an earlier link has no answer any more.
  for (const auto& [id, pending] : pending_signs_) Send(pending.request).IgnoreError();
  delegate_->OnLinkUp();
  return absl::OkStatus();
}

void AgentClient::SendAck(Ack ack, const absl::Status& status) {
  if (!status.ok()) ack.set_error(std::string(status.message()));
  ProxyMessage message;
  *message.mutable_ack() = std::move(ack);
  Send(message).IgnoreError();
}

void AgentClient::Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
                       SignCallback done) {
  DCHECK(loop_->InLoopThread());
  if (pending_signs_.size() >= options_.max_pending_signs) {
    // Posted: a completion never runs inside the call that asked for it.
    loop_->Post([done = std::move(done)]() mutable {
      done(absl::UnavailableError("too many handshakes wait for the agent's signature"));
    });
    return;
  }
  const uint64_t id = next_sign_id_++;
  PendingSign& pending = pending_signs_[id];
  pending.deadline = loop_->Now() + options_.sign_timeout;
  pending.done = std::move(done);
  link::v1::SignRequest* request = pending.request.mutable_sign_request();
  request->set_id(id);
  request->set_leaf_fingerprint(leaf_fingerprint_hex.data(), leaf_fingerprint_hex.size());
  request->set_scheme(scheme);
  request->set_input(std::move(input));
  if (up()) Send(pending.request).IgnoreError();
  ArmSignTimer();
}

void AgentClient::HandleSignResponse(const link::v1::SignResponse& response) {
  auto it = pending_signs_.find(response.id());
  if (it == pending_signs_.end()) return;  // It came after its deadline.
  SignCallback done = std::move(it->second.done);
  pending_signs_.erase(it);
  ArmSignTimer();
  if (!response.error().empty() || response.signature().empty()) {
    done(absl::PermissionDeniedError(
        absl::StrCat("the agent refused to sign: ", response.error().substr(0, kMaxQuoted))));
    return;
  }
  done(response.signature());
}

void AgentClient::ExpireSigns() {
  std::vector<SignCallback> expired;
  while (!pending_signs_.empty() && pending_signs_.begin()->second.deadline <= loop_->Now()) {
    expired.push_back(std::move(pending_signs_.begin()->second.done));
    pending_signs_.erase(pending_signs_.begin());
  }
  ArmSignTimer();
  const char* why = up() ? "the agent did not sign in time" : "no link to the agent";
  for (SignCallback& done : expired) done(absl::UnavailableError(why));
}

void AgentClient::ArmSignTimer() {
  if (pending_signs_.empty()) {
    sign_timer_->Cancel();
    return;
  }
  sign_timer_->Schedule(pending_signs_.begin()->second.deadline - loop_->Now());
}

absl::Status AgentClient::SendResolve(uint64_t id, const IpAddress& address, bool refresh) {
  if (!up()) return absl::UnavailableError("no link to the agent");
  ProxyMessage message;
  message.mutable_resolve_request()->set_id(id);
  message.mutable_resolve_request()->set_address(address.ToBytes());
  message.mutable_resolve_request()->set_refresh(refresh);
  return Send(message);
}

absl::Status AgentClient::SendFlows(const link::v1::FlowReport& report) {
  if (!up()) return absl::UnavailableError("no link to the agent");
  ProxyMessage message;
  *message.mutable_flow_report() = report;
  return Send(message);
}

}  // namespace byrnie
