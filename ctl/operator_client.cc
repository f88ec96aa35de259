#include "ctl/operator_client.h"

#include <chrono>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/grpc/control_plane_channel.h"
#include "common/grpc/status_conversion.h"

namespace byrnie {

using byrnie::operator_::v1::CreateJoinTokenRequest;
using byrnie::operator_::v1::CreateJoinTokenResponse;
using byrnie::operator_::v1::GetStatusRequest;
using byrnie::operator_::v1::GetStatusResponse;
using byrnie::operator_::v1::Operator;

absl::StatusOr<std::unique_ptr<OperatorClient>> OperatorClient::Create(
    const std::string& target, const std::string& trust_domain, const std::string& trust_bundle_pem,
    SecretBytes token) {
  ControlPlaneChannelOptions options;
  options.target = target;
  options.trust_domain = trust_domain;
  options.trust_bundle_pem = trust_bundle_pem;
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, CreateControlPlaneChannel(options));
  return absl::WrapUnique(
      new OperatorClient(target, Operator::NewStub(std::move(channel)), std::move(token)));
}

void OperatorClient::Prepare(grpc::ClientContext* context) const {
  context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kTimeout));
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token_.view()));
}

absl::StatusOr<std::string> OperatorClient::CreateJoinToken(const std::string& spiffe_id,
                                                            absl::Duration ttl) {
  grpc::ClientContext context;
  Prepare(&context);
  CreateJoinTokenRequest request;
  request.set_spiffe_id(spiffe_id);
  const int64_t seconds = absl::ToInt64Seconds(ttl);
  request.mutable_ttl()->set_seconds(seconds);
  request.mutable_ttl()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(ttl - absl::Seconds(seconds))));
  CreateJoinTokenResponse response;
  const grpc::Status status = stub_->CreateJoinToken(&context, request, &response);
  RETURN_IF_ERROR(Explain(context, status));
  return std::move(*response.mutable_token());
}

absl::StatusOr<GetStatusResponse> OperatorClient::GetStatus() {
  grpc::ClientContext context;
  Prepare(&context);
  GetStatusResponse response;
  const grpc::Status status = stub_->GetStatus(&context, GetStatusRequest(), &response);
  RETURN_IF_ERROR(Explain(context, status));
  return response;
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
    case absl::StatusCode::kDeadlineExceeded:
      return absl::Status(
          code, absl::StrCat("control plane at ", target_, " is not reachable: ", message,
                             "; is it running, and are --control_plane, --trust_domain and "
                             "--trust_bundle right?"));
    case absl::StatusCode::kUnauthenticated:
      return absl::Status(code,
                          absl::StrCat("control plane at ", target_, " refused the call: ", message,
                                       "; is --token the file it wrote with "
                                       "--operator_token_out?"));
    default:
      return absl::Status(code, message);
  }
}

}  // namespace byrnie
