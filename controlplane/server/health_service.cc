#include "controlplane/server/health_service.h"

#include <utility>

#include "common/base/check.h"
#include "common/grpc/push_stream.h"

namespace byrnie {

// Says what it is told once, and NOT_SERVING before it ends.
class HealthService::WatchStream final
    : public PushWriter<grpc::ServerWriteReactor<Response>, Response> {
 public:
  WatchStream(grpc::CallbackServerContext* context, HealthService* service,
              Response::ServingStatus status, std::unique_ptr<Places::Place> place)
      : PushWriter(context, service), next_(status), place_(std::move(place)) {}

  void SayEnding() {
    {
      absl::MutexLock lock(&mu_);
      next_ = Response::NOT_SERVING;
    }
    Wake();
    End(absl::UnavailableError("the control plane is shutting down"));
  }

 private:
  absl::optional<Response> NextResponse() override {
    if (!next_.has_value()) return absl::nullopt;
    Response response;
    response.set_status(*next_);
    next_.reset();
    return response;
  }

  absl::optional<Response::ServingStatus> next_;  // Guarded by mu_.
  const std::unique_ptr<Places::Place> place_;
};

HealthService::~HealthService() {
  absl::MutexLock lock(&mu_);
  CHECK(watches_.empty());
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const Request* request, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!request->service().empty()) {
    reactor->Finish(ToGrpcStatus(
        absl::NotFoundError("only the server as a whole has a health; ask for the service \"\"")));
    return reactor;
  }
  response->set_status(ended() ? Response::NOT_SERVING : Response::SERVING);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthService::Response>* HealthService::Watch(
    grpc::CallbackServerContext* context, const Request* request) {
  auto place = strangers_->Admit("health", context->peer());
  if (!place.ok()) {
    return new RefusedStream<grpc::ServerWriteReactor<Response>>(place.status());
  }
  auto stream = std::make_unique<WatchStream>(
      context, this, request->service().empty() ? Response::SERVING : Response::SERVICE_UNKNOWN,
      *std::move(place));
  WatchStream* const added = stream.get();
  {
    absl::MutexLock lock(&mu_);
    watches_.emplace(added, std::move(stream));
    if (ended_) added->End(absl::UnavailableError("the control plane is shutting down"));
  }
  added->Start();
  return added;
}

void HealthService::End() {
  absl::MutexLock lock(&mu_);
  ended_ = true;
  for (auto& entry : watches_) static_cast<WatchStream*>(entry.first)->SayEnding();
}

void HealthService::Remove(LiveStream* stream) {
  std::unique_ptr<LiveStream> removed;  // Destroyed without the lock.
  absl::MutexLock lock(&mu_);
  auto it = watches_.find(stream);
  CHECK(it != watches_.end());
  removed = std::move(it->second);
  watches_.erase(it);
}

bool HealthService::ended() const {
  absl::MutexLock lock(&mu_);
  return ended_;
}

}  // namespace byrnie
