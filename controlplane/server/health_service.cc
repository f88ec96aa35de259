#include "controlplane/server/health_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/grpc/push_stream.h"

namespace byrnie {

// Says how its service is, and again whenever that changes; a reader who is slow is told the last.
class HealthService::WatchStream final
    : public PushWriter<grpc::ServerWriteReactor<Response>, Response> {
 public:
  WatchStream(grpc::CallbackServerContext* context, HealthService* service,
              absl::optional<std::string> name, std::unique_ptr<Places::Place> place)
      : PushWriter(context, service), name_(std::move(name)), place_(std::move(place)) {}

  // Absent: a service that there never is.
  const absl::optional<std::string>& name() const { return name_; }

  void Say(Response::ServingStatus status) {
    {
      absl::MutexLock lock(&mu_);
      next_ = status;
    }
    Wake();
  }

  // Says so before the end, also to a reader who is slow.
  void EndSaying(Response::ServingStatus status, const absl::Status& end) {
    {
      absl::MutexLock lock(&mu_);
      next_ = status;
    }
    End(end);
  }

 private:
  absl::optional<Response> LastResponse() override { return NextResponse(); }
  absl::optional<Response> NextResponse() override {
    if (!next_.has_value()) return absl::nullopt;
    Response response;
    response.set_status(*next_);
    next_.reset();
    return response;
  }

  const absl::optional<std::string> name_;
  absl::optional<Response::ServingStatus> next_;  // Guarded by mu_.
  const std::unique_ptr<Places::Place> place_;
};

HealthService::~HealthService() {
  absl::MutexLock lock(&mu_);
  CHECK(watches_.empty());
}

absl::optional<std::string> HealthService::TakeName(Request* request) {
  // Clear() would keep the memory.
  Request taken;
  taken.Swap(request);
  if (taken.service().size() > kMaxNameBytes) return absl::nullopt;
  return taken.service();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const Request* request, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  {
    absl::MutexLock lock(&mu_);
    const auto found = statuses_.find(request->service());
    if (found == statuses_.end()) {
      reactor->Finish(ToGrpcStatus(absl::NotFoundError(absl::StrCat(
          "no service \"", absl::string_view(request->service()).substr(0, kMaxNameBytes),
          "\" here; reflection lists those there are, and \"\" is the server"))));
      return reactor;
    }
    response->set_status(found->second);
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthService::Response>* HealthService::Watch(
    grpc::CallbackServerContext* context, const Request* request) {
  // The message is the library's to give away: it is made for this call and only destroyed after
  // it.
  absl::optional<std::string> name = TakeName(const_cast<Request*>(request));
  auto place = strangers_->Admit("health", context->peer());
  if (!place.ok()) {
    return new RefusedStream<grpc::ServerWriteReactor<Response>>(place.status());
  }
  auto stream = std::make_unique<WatchStream>(context, this, std::move(name), *std::move(place));
  WatchStream* const added = stream.get();
  {
    absl::MutexLock lock(&mu_);
    watches_.emplace(added, std::move(stream));
    const auto found = added->name().has_value() ? statuses_.find(*added->name()) : statuses_.end();
    added->Say(found == statuses_.end() ? Response::SERVICE_UNKNOWN : found->second);
    if (ended_) added->End(absl::UnavailableError("the control plane is shutting down"));
  }
  added->Start();
  return added;
}

void HealthService::SetServing(const std::string& service, bool serving) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  const Response::ServingStatus status = serving ? Response::SERVING : Response::NOT_SERVING;
  const auto added = statuses_.emplace(service, status);
  if (!added.second && std::exchange(added.first->second, status) == status) return;
  for (auto& entry : watches_) {
    auto* const watch = static_cast<WatchStream*>(entry.first);
    if (watch->name() == service) watch->Say(status);
  }
}

void HealthService::End() {
  absl::MutexLock lock(&mu_);
  ended_ = true;
  for (auto& entry : statuses_) entry.second = Response::NOT_SERVING;
  for (auto& entry : watches_) {
    auto* const watch = static_cast<WatchStream*>(entry.first);
    watch->EndSaying(Response::NOT_SERVING,
                     absl::UnavailableError("the control plane is shutting down"));
  }
}

void HealthService::Remove(LiveStream* stream) {
  std::unique_ptr<LiveStream> removed;  // Destroyed without the lock.
  absl::MutexLock lock(&mu_);
  auto it = watches_.find(stream);
  CHECK(it != watches_.end());
  removed = std::move(it->second);
  watches_.erase(it);
}

}  // namespace byrnie
