#include "certagent/workload_api/secret_service.h"

#include <string>
#include <utility>

#include "certagent/workload_api/secret_subscription.h"
#include "common/base/status_macros.h"
#include "common/grpc/push_stream.h"
#include "common/grpc/status_conversion.h"

namespace byrnie {
namespace {

void Wipe(SecretSubscription::Response* response) {
  for (google::protobuf::Any& resource : *response->mutable_resources()) WipeSecret(&resource);
}

void Wipe(DeltaSecretSubscription::Response* response) {
  for (auto& resource : *response->mutable_resources()) WipeSecret(resource.mutable_resource());
}

}  // namespace

template <typename Subscription>
class SecretService::Stream final
    : public PushStream<typename Subscription::Request, typename Subscription::Response> {
 public:
  using Base = PushStream<typename Subscription::Request, typename Subscription::Response>;
  Stream(grpc::CallbackServerContext* context, SecretService* service)
      : Base(context, service->streams_), service_(service) {}

 private:
  absl::Status OnRequest(const typename Subscription::Request& request) override {
    ASSIGN_OR_RETURN(absl::optional<SecretFeedback> feedback, subscription_.OnRequest(request));
    if (feedback.has_value() && !feedback->error.empty()) {
      service_->metrics_->secrets_rejected->Increment();
      service_->log_->Warning("a client of secret discovery rejected a response",
                              {{"nonce", feedback->nonce}, {"error", feedback->error}});
    }
    return absl::OkStatus();
  }

  absl::optional<typename Subscription::Response> NextResponse() override {
    const std::shared_ptr<const Offer> offer = service_->CurrentOffer();
    auto response = subscription_.Next(offer == nullptr ? nullptr : &offer->catalog);
    if (response.has_value()) service_->metrics_->updates->Increment();
    return response;
  }

  void OnWritten(typename Subscription::Response* response) override { Wipe(response); }

  SecretService* const service_;  // Not owned.
  Subscription subscription_;
};

void SecretService::Publish(const WorkloadStatePtr& state) {
  offer_.Set(std::make_shared<const Offer>(state));
}

std::shared_ptr<const SecretService::Offer> SecretService::CurrentOffer() const {
  std::shared_ptr<const Offer> offer = offer_.get();
  if (offer != nullptr && offer->not_after <= clock_->WallNow()) return nullptr;
  return offer;
}

grpc::ServerBidiReactor<SecretService::Request, SecretService::Response>*
SecretService::StreamSecrets(grpc::CallbackServerContext* context) {
  absl::Status status = callers_->Check(context->peer());
  auto stream = std::make_unique<Stream<SecretSubscription>>(context, this);
  auto* const opened = stream.get();
  if (status.ok()) status = streams_->Open(&stream);
  if (status.ok()) return opened;
  return new RefusedStream<grpc::ServerBidiReactor<Request, Response>>(status);
}

grpc::ServerBidiReactor<SecretService::DeltaRequest, SecretService::DeltaResponse>*
SecretService::DeltaSecrets(grpc::CallbackServerContext* context) {
  absl::Status status = callers_->Check(context->peer());
  auto stream = std::make_unique<Stream<DeltaSecretSubscription>>(context, this);
  auto* const opened = stream.get();
  if (status.ok()) status = streams_->Open(&stream);
  if (status.ok()) return opened;
  return new RefusedStream<grpc::ServerBidiReactor<DeltaRequest, DeltaResponse>>(status);
}

grpc::ServerUnaryReactor* SecretService::FetchSecrets(grpc::CallbackServerContext* context,
                                                      const Request* request, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(Fetch(context->peer(), *request, response)));
  return reactor;
}

absl::Status SecretService::Fetch(const std::string& peer, const Request& request,
                                  Response* response) const {
  RETURN_IF_ERROR(callers_->Check(peer));
  const std::shared_ptr<const Offer> offer = CurrentOffer();
  if (offer == nullptr) return absl::UnavailableError("there is no valid certificate now");
  SecretSubscription subscription;
  RETURN_IF_ERROR(subscription.OnRequest(request).status());
  absl::optional<Response> found = subscription.Next(&offer->catalog);
  if (!found.has_value()) return absl::NotFoundError("none of the names means anything here");
  *response = *std::move(found);
  return absl::OkStatus();
}

}  // namespace byrnie
