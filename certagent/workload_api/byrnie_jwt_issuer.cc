#include "certagent/workload_api/byrnie_jwt_issuer.h"

#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/check.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/client_context.h"

namespace byrnie {

constexpr absl::Duration ByrnieJwtIssuer::kTimeout;

// Shared with gRPC's thread until the call is over.
struct ByrnieJwtIssuer::Call {
  std::unique_ptr<ca::v1::CertificateAuthority::Stub> stub;
  grpc::ClientContext context;
  ca::v1::IssueJwtSvidRequest request;
  ca::v1::IssueJwtSvidResponse response;
  Callback done;  // The loop's.
  absl::Mutex mutex;
  bool abandoned ABSL_GUARDED_BY(mutex) = false;  // The issuer is gone, the loop perhaps, too.
};

ByrnieJwtIssuer::ByrnieJwtIssuer(EventLoop* loop, ChannelSource channels)
    : loop_(loop), channels_(std::move(channels)) {}

ByrnieJwtIssuer::~ByrnieJwtIssuer() {
  for (const std::shared_ptr<Call>& call : calls_) {
    {
      absl::MutexLock lock(&call->mutex);
      call->abandoned = true;
    }
    call->context.TryCancel();
  }
}

void ByrnieJwtIssuer::Issue(const std::vector<std::string>& audience, Callback done) {
  DCHECK(loop_->InLoopThread());
  auto call = std::make_shared<Call>();
  call->done = std::move(done);
  for (const std::string& name : audience) call->request.add_audience(name);
  calls_.push_back(call);
  auto report = [this, call](absl::Status status) {
    absl::MutexLock lock(&call->mutex);
    if (call->abandoned) return;
    loop_->Post([this, call, status = std::move(status)] {
      {
        absl::MutexLock lock(&call->mutex);
        if (call->abandoned) return;
      }
      OnDone(call, status);
    });
  };
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = channels_();
  if (!channel.ok()) return report(channel.status());
  call->stub = ca::v1::CertificateAuthority::NewStub(*channel);
  call->context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kTimeout));
  call->stub->async()->IssueJwtSvid(
      &call->context, &call->request, &call->response,
      [report](grpc::Status status) mutable { report(FromGrpcStatus(status)); });
}

void ByrnieJwtIssuer::OnDone(const std::shared_ptr<Call>& call, absl::Status status) {
  calls_.remove(call);
  Callback done = std::move(call->done);
  if (!status.ok()) return done(std::move(status));
  done(SecretBytes::TakeFrom(call->response.mutable_svid()));
}

}  // namespace byrnie
