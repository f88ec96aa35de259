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

// Of what a name means, in any of its forms; absent: nothing.
absl::optional<std::string> KeyOf(const RegistrySnapshot& registry, ResourceKind kind,
                                  const std::string& name) {
  MeshFacts facts;
  facts.registry = &registry;
  const MeshView view(&facts);
  if (kind == ResourceKind::kWorkload) {
    const absl::optional<MeshView::Workload> workload = view.FindWorkload(name);
    return workload.has_value() ? absl::make_optional(workload->uid()) : absl::nullopt;
  }
  const absl::optional<MeshView::Service> service = view.FindService(name);
  return service.has_value() ? absl::make_optional(ServiceKey(*service)) : absl::nullopt;
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

template <typename Request>
absl::Status OperatorCalls::DeleteEntry(OperatorCall* call, ResourceKind kind,
                                        const Request& request) const {
  RETURN_IF_ERROR(CheckName(request.name()));
  call->target = request.name().substr(0, 512);
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  const absl::optional<std::string> key = KeyOf(*registry, kind, request.name());
  if (!key.has_value()) {
    return NotFound(kind == ResourceKind::kWorkload ? "workload" : "service", request.name());
  }
  return s_.entries->Delete(kind, *key, request.expected_version(), call->caller.name);
}

absl::Status OperatorCalls::DeleteWorkload(OperatorCall* call,
                                           const v1::DeleteWorkloadRequest& request,
                                           v1::DeleteWorkloadResponse*) const {
  return DeleteEntry(call, ResourceKind::kWorkload, request);
}

absl::Status OperatorCalls::DeleteService(OperatorCall* call,
                                          const v1::DeleteServiceRequest& request,
                                          v1::DeleteServiceResponse*) const {
  return DeleteEntry(call, ResourceKind::kService, request);
}

}  // namespace byrnie
