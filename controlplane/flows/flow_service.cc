#include "controlplane/flows/flow_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/pooled_call.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/ca/authority.h"
#include "controlplane/flows/flow_report.h"
#include "controlplane/flows/workload_index.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

constexpr char kReports[] = "byrnie_controlplane_flow_reports_total";
constexpr char kReportsHelp[] = "Reports of agents about connections, by result.";

// "10.0.0.1" of "10.0.0.1:4711", without brackets.
std::string HostOf(const std::string& address) {
  const absl::StatusOr<SocketAddress> parsed = SocketAddress::Parse(address);
  return parsed.ok() ? parsed->ip().ToString() : address;
}

}  // namespace

FlowService::FlowService(FlowLedger* ledger, const TrustBundleSource* bundles,
                         const Registry* registry, std::string trust_domain, ThreadPool* threads,
                         const Clock* clock, Logger* logger, MetricRegistry* metrics)
    : ledger_(ledger),
      bundles_(bundles),
      registry_(registry),
      trust_domain_(std::move(trust_domain)),
      threads_(threads),
      clock_(clock),
      logger_(logger),
      accepted_(metrics->AddCounter(kReports, kReportsHelp, {{"result", "accepted"}})),
      refused_(metrics->AddCounter(kReports, kReportsHelp, {{"result", "refused"}})),
      misplaced_(metrics->AddCounter(
          "byrnie_controlplane_flows_misplaced_total",
          "Flows left out because they lead to an address that the registry gives to somebody "
          "else.")) {}

grpc::ServerUnaryReactor* FlowService::Report(grpc::CallbackServerContext* context,
                                              const flow::v1::ReportRequest* request,
                                              flow::v1::ReportResponse* response) {
  return AnswerOn(threads_, context, [this, context, request, response] {
    const absl::Status status = TryReport(*context, *request, response);
    (status.ok() ? accepted_ : refused_)->Increment();
    if (!status.ok()) NoteRefused(status, PeerAddress(context->peer()));
    return ToGrpcStatus(status);
  });
}

void FlowService::NoteRefused(const absl::Status& status, const std::string& address) {
  const absl::optional<uint64_t> unsaid = refusals_said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  logger_->Warning("flow report refused", {{"address", address},
                                           {"code", absl::StatusCodeToString(status.code())},
                                           {"error", status.message()},
                                           {"not_logged", *unsaid}});
}

absl::Status FlowService::TryReport(const grpc::ServerContextBase& context,
                                    const flow::v1::ReportRequest& request,
                                    flow::v1::ReportResponse* response) {
  const absl::Time now = clock_->WallNow();
  ASSIGN_OR_RETURN(PeerIdentity peer,
                   RequirePeer(*context.auth_context(), *bundles_->bundles(), trust_domain_, now));
  if (IsReservedPath(peer.id.path())) {
    return absl::PermissionDeniedError(
        absl::StrCat(peer.id.text(), " is reserved for the mesh itself"));
  }
  ASSIGN_OR_RETURN(std::vector<ReportedFlow> flows, ParseFlowReport(request, now));
  const FlowReporterId reporter{std::move(peer.id), HostOf(PeerAddress(context.peer()))};
  const RegistrySnapshotPtr registry = registry_->snapshot();
  const auto misplaced = [&](const ReportedFlow& flow) {
    return flow.side == ReportedFlow::Side::kDestination &&
           BelongsToAnother(*registry, flow.destination.ip(), reporter.id);
  };
  const auto kept = std::remove_if(flows.begin(), flows.end(), misplaced);
  misplaced_->Increment(static_cast<uint64_t>(flows.end() - kept));
  flows.erase(kept, flows.end());
  ledger_->Merge(reporter, request.instance(), std::move(flows));
  if (request.ended()) ledger_->OnEnded(reporter, request.instance());
  response->set_table(ledger_->name());
  ToProto(ledger_->ReportInterval(), response->mutable_next_report_after());
  return absl::OkStatus();
}

}  // namespace byrnie
