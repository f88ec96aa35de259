#include "ctl/operator_client.h"

#include <chrono>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/grpc/control_plane_channel.h"
#include "common/grpc/status_conversion.h"

namespace byrnie {

namespace {

// Marks an error for which nobody has answered.
constexpr char kUnreachable[] = "byrnie/unreachable";
// What the verifier says of a server whose chain leads to another root (svid_verifier.cc).
constexpr char kForeignRoot[] = "is not signed by a root of trust domain";

}  // namespace

absl::StatusOr<std::unique_ptr<OperatorClient>> OperatorClient::Create(
    const std::string& target, const std::string& trust_domain, const std::string& trust_bundle_pem,
    SecretBytes token, absl::optional<ControlPlaneClientIdentity> identity) {
  ControlPlaneChannelOptions options;
  options.target = target;
  options.trust_domain = trust_domain;
  options.trust_bundle_pem = trust_bundle_pem;
  const bool has_certificate = identity.has_value();
  options.identity = std::move(identity);
  options.user_agent = absl::StrCat("byrniectl/", kRelease);
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, CreateControlPlaneChannel(options));
  return absl::WrapUnique(
      new OperatorClient(target, std::move(channel), std::move(token), has_certificate));
}

bool OperatorClient::ConnectsWithin(absl::Duration time) {
  const auto deadline = std::chrono::system_clock::now() + absl::ToChronoMilliseconds(time);
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (!channel_->WaitForStateChange(state, deadline)) return false;
    state = channel_->GetState(/*try_to_connect=*/true);
  }
  return true;
}

void OperatorClient::Prepare(absl::Duration timeout, grpc::ClientContext* context) const {
  context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  AddToken(context);
}

void OperatorClient::AddToken(grpc::ClientContext* context) const {
  if (token_.view().empty()) return;
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token_.view()));
}

absl::Status OperatorClient::WatchEvents(
    const byrnie::operator_::v1::WatchEventsRequest& request,
    const std::function<bool(const EventResponse&)>& on_response, bool patient) {
  grpc::ClientContext context;
  AddToken(&context);
  // Without a call under way the library does not even go on connecting.
  context.set_wait_for_ready(patient);
  const auto stream = stub_->WatchEvents(&context, request);
  EventResponse response;
  while (stream->Read(&response)) {
    if (on_response(response)) continue;
    context.TryCancel();
    while (stream->Read(&response)) {
    }
    (void)stream->Finish();
    return absl::OkStatus();
  }
  return Explain(context, stream->Finish());
}

bool OperatorClient::IsUnreachable(const absl::Status& status) {
  return status.GetPayload(kUnreachable).has_value();
}

absl::Status OperatorClient::Explain(const grpc::ClientContext& context,
                                     const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  // One line, whatever the library or the server put into it.
  std::string message = absl::StrReplaceAll(status.error_message(), {{"\r", " "}, {"\n", " "}});
  absl::StripAsciiWhitespace(&message);
  const absl::StatusCode code = FromGrpcStatus(status).code();
  switch (code) {
    case absl::StatusCode::kUnavailable:
      if (context.GetServerTrailingMetadata().count(kOwnAnswerKey) > 0) {
        return absl::Status(
            code, absl::StrCat("control plane at ", target_, " cannot do it now: ", message));
      }
      ABSL_FALLTHROUGH_INTENDED;
    case absl::StatusCode::kDeadlineExceeded: {
      if (absl::StrContains(message, kForeignRoot)) {
        absl::Status foreign(
            code,
            absl::StrCat("control plane at ", target_,
                         " is there, but its certificate does not lead to the roots in "
                         "--trust_bundle: the file is of another mesh, or older than the last "
                         "rotation of the root; get the present one, which the control plane "
                         "writes with --trust_bundle_out, over a way you trust (",
                         message, ")"));
        foreign.SetPayload(kUnreachable, absl::Cord());
        return foreign;
      }
      absl::Status unreachable(
          code, absl::StrCat("control plane at ", target_, " is not reachable: ", message,
                             "; is it running, and are --control_plane, --trust_domain and "
                             "--trust_bundle right?"));
      unreachable.SetPayload(kUnreachable, absl::Cord());
      return unreachable;
    }
    case absl::StatusCode::kUnauthenticated: {
      const bool by_certificate = token_.view().empty() && has_certificate_;
      return absl::Status(
          code, absl::StrCat("control plane at ", target_, " refused the call: ", message,
                             by_certificate
                                 ? "; is the certificate of --cert valid, and its identity one of "
                                   "the control plane's --operators?"
                                 : "; is --token the file it wrote with --operator_token_out?"));
    }
    default:
      return absl::Status(code, message);
  }
}

}  // namespace byrnie
