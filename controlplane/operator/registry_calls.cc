// What operators do with workloads and services.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/operator/operator_calls.h"
#include "controlplane/operator/operator_views.h"
#include "controlplane/operator/read_mask.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/entry_document.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

// For the audit log, whose lines have an end.
constexpr size_t kNamesInTarget = 8;

absl::Status CheckName(absl::string_view name) {
  return name.empty() ? InvalidField("name", "is empty") : absl::OkStatus();
}

absl::Status NotFound(absl::string_view type, absl::string_view name) {
  return ResourceNotFound(type, name, absl::StrCat("there is no ", type, " \"", name, "\""));
}

v1::AppliedEntry::Change ToProto(RegistryAdmin::Outcome outcome) {
  return static_cast<v1::AppliedEntry::Change>(outcome);
}

}  // namespace

absl::Status OperatorCalls::GetService(OperatorCall*, const v1::GetServiceRequest& request,
                                       v1::Service* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Service>(request.read_mask()));
  RETURN_IF_ERROR(CheckName(request.name()));
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  MeshFacts facts;
  facts.registry = registry.get();
  const MeshView view(&facts);
  const absl::optional<MeshView::Service> service = view.FindService(request.name());
  if (!service.has_value()) return NotFound("service", request.name());
  FillService(*service, view.EndpointsOf(*service), response);
  const Resource& resource = *registry->Find(ResourceType::kAddress, ServiceKey(*service));
  FillOrigin(resource, s_.entries->ApplicationOf(resource), response);
  response->set_document(WriteRegistryDocument(*service));
  ApplyReadMask(request.read_mask(), response);
  return absl::OkStatus();
}

absl::Status OperatorCalls::ApplyRegistry(OperatorCall* call,
                                          const v1::ApplyRegistryRequest& request,
                                          v1::ApplyRegistryResponse* response) const {
  ASSIGN_OR_RETURN(RegistryContent content,
                   ParseRegistryDocument(request.document(), s_.authority->trust_domain()));
  std::vector<std::string> names;
  for (const auto& service : content.services) names.push_back(ServiceKey(service));
  for (const auto& workload : content.workloads) names.push_back(workload.uid());
  const size_t more = names.size() - std::min(names.size(), kNamesInTarget);
  names.resize(names.size() - more);
  call->target = absl::StrCat(absl::StrJoin(names, " "),
                              more == 0 ? "" : absl::StrCat(" and ", more, " more"));
  ASSIGN_OR_RETURN(
      std::vector<RegistryAdmin::Applied> applied,
      s_.entries->Apply(request.document(), request.expected_version(), call->caller.name));
  for (const RegistryAdmin::Applied& entry : applied) {
    v1::AppliedEntry* const out = response->add_entries();
    out->set_name(entry.resource->name);
    out->set_service(entry.resource->kind == ResourceKind::kService);
    out->set_version(entry.resource->version);
    out->set_change(ToProto(entry.outcome));
  }
  return absl::OkStatus();
}

absl::Status OperatorCalls::DeleteWorkload(OperatorCall* call,
                                           const v1::DeleteWorkloadRequest& request,
                                           v1::DeleteWorkloadResponse*) const {
  RETURN_IF_ERROR(CheckName(request.name()));
  call->target = request.name().substr(0, 512);
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  MeshFacts facts;
  facts.registry = registry.get();
  const absl::optional<MeshView::Workload> workload = MeshView(&facts).FindWorkload(request.name());
  if (!workload.has_value()) return NotFound("workload", request.name());
  return s_.entries->Delete(ResourceKind::kWorkload, workload->uid(), request.expected_version(),
                            call->caller.name);
}

absl::Status OperatorCalls::DeleteService(OperatorCall* call,
                                          const v1::DeleteServiceRequest& request,
                                          v1::DeleteServiceResponse*) const {
  RETURN_IF_ERROR(CheckName(request.name()));
  call->target = request.name().substr(0, 512);
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  MeshFacts facts;
  facts.registry = registry.get();
  const absl::optional<MeshView::Service> service = MeshView(&facts).FindService(request.name());
  if (!service.has_value()) return NotFound("service", request.name());
  return s_.entries->Delete(ResourceKind::kService, ServiceKey(*service),
                            request.expected_version(), call->caller.name);
}

}  // namespace byrnie
