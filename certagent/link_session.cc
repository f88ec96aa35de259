#include "certagent/link_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

using link::v1::AddressUpdate;
using link::v1::AgentMessage;
using link::v1::ProxyMessage;
using link::v1::ResolveResponse;

// Of the resources in one message: far below the frame limit, so that a resource more never breaks
// it.
constexpr size_t kBatchBytes = 512 * 1024;
constexpr size_t kMaxReleaseShown = 64;

ResolveResponse::Result ToWire(ResolveResult result) {
  switch (result) {
    case ResolveResult::kFound:
      return ResolveResponse::RESULT_FOUND;
    case ResolveResult::kNotFound:
      return ResolveResponse::RESULT_NOT_FOUND;
    case ResolveResult::kUnavailable:
      break;
  }
  return ResolveResponse::RESULT_UNAVAILABLE;
}

}  // namespace

constexpr absl::Duration LinkSession::kHelloTimeout;

LinkSession::LinkSession(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                         LinkBackend* backend, Logger* log, EndCallback on_end)
    : loop_(loop),
      backend_(backend),
      log_(log),
      on_end_(std::move(on_end)),
      frames_(loop, std::move(transport), this),
      hello_deadline_(loop->NewTimer(
          [this] { Close(absl::DeadlineExceededError("the proxy did not say hello in time")); })) {
  hello_deadline_->Schedule(kHelloTimeout);
  AgentMessage message;
  message.mutable_hello()->set_protocol_version(kProtocolVersion);
  message.mutable_hello()->set_release(kRelease);
  SendMessage(message);
}

LinkSession::~LinkSession() = default;

void LinkSession::OnFrame(absl::string_view payload) {
  ProxyMessage message;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return Close(absl::InvalidArgumentError("a message of the proxy does not parse"));
  }
  if (open_ == message.has_hello()) {
    return Close(absl::FailedPreconditionError(open_ ? "the proxy said hello twice"
                                                     : "the proxy did not begin with hello"));
  }
  switch (message.content_case()) {
    case ProxyMessage::kHello:
      return OnHello(message.hello());
    case ProxyMessage::kSignRequest:
      return OnSignRequest(message.sign_request());
    case ProxyMessage::kResolveRequest:
      return OnResolveRequest(message.resolve_request());
    case ProxyMessage::kAck:
      return OnAck(message.ack());
    case ProxyMessage::kFlowReport:
      return OnFlowReport(message.flow_report());
    case ProxyMessage::kAnswer:
      return OnAnswer(message.answer().id(), /*answered=*/true);
    case ProxyMessage::CONTENT_NOT_SET:
      break;
  }
  Close(absl::InvalidArgumentError("the proxy sent a message without content"));
}

void LinkSession::OnClosed(const absl::Status& status) {
  hello_deadline_->Cancel();
  open_ = false;
  while (!questions_.empty()) OnAnswer(questions_.begin()->first, /*answered=*/false);
  on_end_(status);
}

void LinkSession::OnHello(const link::v1::ProxyHello& hello) {
  if (hello.protocol_version() != kProtocolVersion) {
    return Close(absl::FailedPreconditionError(
        absl::StrCat("the proxy speaks version ", hello.protocol_version(), " of the link, not ",
                     kProtocolVersion, "; run agent and proxy of one release")));
  }
  hello_deadline_->Cancel();
  open_ = true;
  proxy_release_ = hello.release().substr(0, kMaxReleaseShown);
  log_->Info("proxy connected", {{"release", proxy_release_}});
  if (IdentitySnapshotPtr identity = backend_->Identity()) SendIdentity(*identity);
  // Addresses before policies: a proxy that has the policies is ready, and then it knows its own
  // workload, too.
  SendAllAddresses();
  if (absl::optional<PolicySet> policies = backend_->Policies()) SendPolicies(*policies);
}

void LinkSession::OnSignRequest(const link::v1::SignRequest& request) {
  AgentMessage message;
  message.mutable_sign_response()->set_id(request.id());
  absl::StatusOr<std::string> signature =
      backend_->Sign(request.leaf_fingerprint(), request.scheme(), request.input());
  if (signature.ok()) {
    message.mutable_sign_response()->set_signature(*std::move(signature));
  } else {
    message.mutable_sign_response()->set_error(std::string(signature.status().message()));
  }
  SendMessage(message);
}

void LinkSession::OnResolveRequest(const link::v1::ResolveRequest& request) {
  absl::StatusOr<IpAddress> address = IpAddress::FromBytes(request.address());
  if (!address.ok()) return Close(address.status());
  auto answer = [id = request.id()](ResolveResult result) {
    AgentMessage message;
    message.mutable_resolve_response()->set_id(id);
    message.mutable_resolve_response()->set_result(ToWire(result));
    return message;
  };
  if (pending_resolves_ >= kMaxPendingResolves) {
    return SendMessage(answer(ResolveResult::kUnavailable));
  }
  ++pending_resolves_;
  backend_->Resolve(*address, request.refresh(),
                    [answer, self = std::weak_ptr<LinkSession*>(self_)](ResolveResult result) {
                      std::shared_ptr<LinkSession*> session = self.lock();
                      if (session == nullptr) return;
                      --(*session)->pending_resolves_;
                      (*session)->SendMessage(answer(result));
                    });
}

void LinkSession::OnAck(const link::v1::Ack& ack) {
  if (ack.update_case() == link::v1::Ack::UPDATE_NOT_SET) {
    return Close(absl::InvalidArgumentError("the proxy acknowledged nothing"));
  }
  acknowledged_.error = ack.error().substr(0, 512);
  if (!ack.error().empty()) {
    log_->Warning(
        "the proxy rejected an update",
        {{"kind", ack.has_policy_epoch() ? "policies" : "identity"},
         {"number", ack.has_policy_epoch() ? ack.policy_epoch() : ack.identity_generation()},
         {"reason", acknowledged_.error}});
    return;
  }
  if (ack.has_policy_epoch()) {
    acknowledged_.policy_epoch = ack.policy_epoch();
  } else {
    acknowledged_.identity_generation = ack.identity_generation();
    backend_->OnIdentityInForce(ack.identity_generation());
  }
}

void LinkSession::OnFlowReport(const link::v1::FlowReport& report) {
  absl::Status taken =
      backend_->ForwardFlows(report, [self = std::weak_ptr<LinkSession*>(self_)](bool tell_all) {
        std::shared_ptr<LinkSession*> session = self.lock();
        if (session == nullptr) return;
        AgentMessage message;
        message.mutable_flow_ack()->set_tell_all(tell_all);
        (*session)->SendMessage(message);
      });
  if (!taken.ok()) Close(std::move(taken));
}

void LinkSession::SendFlowsLost() {
  if (!open_) return;
  AgentMessage message;
  message.mutable_flows_lost();
  SendMessage(message);
}

void LinkSession::Ask(absl::Duration patience, absl::AnyInvocable<void(bool)> done) {
  const uint64_t id = ++last_question_;
  Question& question = questions_[id];
  question.done = std::move(done);
  question.deadline = loop_->NewTimer([this, id] { OnAnswer(id, /*answered=*/false); });
  question.deadline->Schedule(open_ ? patience : absl::ZeroDuration());
  if (!open_) return;
  AgentMessage message;
  message.mutable_question()->set_id(id);
  SendMessage(message);
}

void LinkSession::OnAnswer(uint64_t question, bool answered) {
  const auto found = questions_.find(question);
  if (found == questions_.end()) return;  // It came too late.
  // The timer, whose callback this may be, dies last.
  Question asked = std::move(found->second);
  questions_.erase(found);
  asked.done(answered);
}

void LinkSession::SendIdentity(const IdentitySnapshot& identity) {
  if (!open_) return;
  AgentMessage message;
  link::v1::IdentityUpdate* update = message.mutable_identity();
  update->set_generation(identity.generation());
  for (const CertificatePtr& certificate : identity.chain()) {
    update->add_certificate_chain(certificate->der());
  }
  if (identity.clock_offset().has_value()) {
    update->set_clock_offset_ms(absl::ToInt64Milliseconds(*identity.clock_offset()));
  }
  for (const auto& entry : identity.bundles().bundles()) {
    link::v1::Bundle* bundle = update->add_bundles();
    bundle->set_trust_domain(entry.first);
    for (const CertificatePtr& root : entry.second.roots) bundle->add_roots(root->der());
    for (const RevocationListPtr& list : entry.second.crls) bundle->add_crls(list->der());
  }
  SendMessage(message);
}

void LinkSession::SendPolicies(const PolicySet& policies) {
  if (!open_) return;
  if (!addresses_sent_) SendAllAddresses();
  AgentMessage message;
  message.mutable_policies()->set_epoch(policies.epoch);
  for (const PolicyPtr& policy : policies.policies) {
    *message.mutable_policies()->add_policies() = *policy;
  }
  SendMessage(message);
}

void LinkSession::SendAddresses(const std::vector<AddressPtr>& upserts,
                                const std::vector<std::string>& removals) {
  if (!open_ || (upserts.empty() && removals.empty())) return;
  if (!addresses_sent_) return SendAllAddresses();
  SendAddressBatches(/*replace_all=*/false, upserts, removals);
}

void LinkSession::SendAllAddresses() {
  const std::vector<AddressPtr> addresses = backend_->Addresses();
  // An agent that has just started knows nothing yet, which is not the same as that there is
  // nothing: a proxy that has outlived the one before keeps what that one told it.
  if (addresses.empty() && !backend_->Policies().has_value()) return;
  addresses_sent_ = true;
  SendAddressBatches(/*replace_all=*/true, addresses, {});
}

void LinkSession::SendAddressBatches(bool replace_all, const std::vector<AddressPtr>& upserts,
                                     const std::vector<std::string>& removals) {
  AgentMessage message;
  message.mutable_addresses()->set_replace_all(replace_all);
  size_t bytes = 0;
  auto make_room_for = [&](size_t more) {
    if (bytes > 0 && bytes + more > kBatchBytes) {
      SendMessage(message);
      message.mutable_addresses()->Clear();
      bytes = 0;
    }
    bytes += more;
  };
  // Removals first: what an update brings must not be taken away by the same update.
  for (const std::string& key : removals) {
    make_room_for(key.size());
    message.mutable_addresses()->add_removals(key);
  }
  for (const AddressPtr& address : upserts) {
    make_room_for(address->ByteSizeLong());
    *message.mutable_addresses()->add_upserts() = *address;
  }
  SendMessage(message);
}

void LinkSession::SendMessage(const AgentMessage& message) {
  DCHECK(loop_->InLoopThread());
  absl::Status sent = frames_.Send(message.SerializeAsString());
  // After the end there is nobody to tell; a message that is too large stays unsent and the proxy
  // keeps what it has.
  if (absl::IsInvalidArgument(sent)) {
    log_->Error("update not sent to the proxy", {{"reason", sent.message()}});
  }
}

}  // namespace byrnie
