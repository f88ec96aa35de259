#include "certagent/grpc_flow_collector.h"

#include <chrono>
#include <functional>
#include <utility>

#include "common/base/check.h"

namespace byrnie {
namespace {

constexpr std::chrono::seconds kTimeout(10);

}  // namespace

GrpcFlowCollector::GrpcFlowCollector(EventLoop* loop, ControlPlaneConnector* connector,
                                     IdentitySource identity)
    : loop_(loop), connector_(connector), identity_(std::move(identity)) {}

void GrpcFlowCollector::Report(const flow::v1::ReportRequest& request, Callback done) {
  DCHECK(loop_->InLoopThread());
  const ClientIdentityPtr identity = identity_();
  absl::StatusOr<ControlPlaneConnector::Connection> connection =
      identity == nullptr ? absl::FailedPreconditionError("no certificate to report with yet")
                          : connector_->SharedChannel(identity);
  call_ = std::make_unique<Call>(
      loop_, [this, done = std::move(done)](absl::Status status,
                                            const flow::v1::ReportResponse& response) mutable {
        const auto finished = std::move(call_);
        // Which address is used is for those to decide without whom nothing works.
        if (!status.ok()) return done(std::move(status));
        done(response);
      });
  if (!connection.ok()) return call_->Fail(connection.status());
  *call_->request() = request;
  call_->context()->set_deadline(std::chrono::system_clock::now() + kTimeout);
  using Stub = flow::v1::FlowCollector::Stub;
  std::shared_ptr<Stub> stub = flow::v1::FlowCollector::NewStub(connection->channel);
  call_->Start([stub](grpc::ClientContext* context, const flow::v1::ReportRequest* sent,
                      flow::v1::ReportResponse* response,
                      std::function<void(grpc::Status)> on_end) {
    stub->async()->Report(context, sent, response, std::move(on_end));
  });
}

}  // namespace byrnie
