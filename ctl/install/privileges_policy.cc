#include "ctl/install/privileges_policy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "ctl/install/install_settings.h"

namespace byrnie {
namespace {

// What puts it in force goes first.
constexpr const char* kKinds[] = {"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"};
// An API server has the same objects in each that it serves.
constexpr const char* kVersions[] = {"admissionregistration.k8s.io/v1",
                                     "admissionregistration.k8s.io/v1beta1",
                                     "admissionregistration.k8s.io/v1alpha1"};

struct KnownKind {
  const char* kind;
  ResourceType type;
};

absl::StatusOr<std::vector<KnownKind>> KnownKinds(ResourceTypes* types) {
  std::vector<KnownKind> known;
  for (const char* const kind : kKinds) {
    for (const char* const version : kVersions) {
      absl::StatusOr<ResourceType> type = types->Find(version, kind);
      if (absl::IsNotFound(type.status())) continue;
      RETURN_IF_ERROR(type.status());
      known.push_back({kind, *std::move(type)});
      break;
    }
  }
  return known;
}

}  // namespace

absl::StatusOr<std::vector<ResourceType>> PrivilegesPolicyTypes(ResourceTypes* types) {
  ASSIGN_OR_RETURN(std::vector<KnownKind> known, KnownKinds(types));
  std::vector<ResourceType> found;
  for (KnownKind& one : known) found.push_back(std::move(one.type));
  return found;
}

absl::StatusOr<std::vector<PolicyObject>> FindPrivilegesPolicy(ClusterApi* cluster,
                                                               ResourceTypes* types) {
  ASSIGN_OR_RETURN(const std::vector<KnownKind> known, KnownKinds(types));
  std::vector<PolicyObject> found;
  for (const auto& [kind, type] : known) {
    absl::StatusOr<Json> object = GetObject(cluster, type.Path("", kPrivilegesPolicy));
    if (absl::IsNotFound(object.status())) continue;
    if (!object.ok()) {
      return absl::Status(object.status().code(), absl::StrCat(kind, " ", kPrivilegesPolicy, ": ",
                                                               object.status().message()));
    }
    (*object)["kind"] = kind;
    found.push_back({type, *std::move(object)});
  }
  return found;
}

absl::StatusOr<PrivilegesPolicyState> LookAtPrivilegesPolicy(ClusterApi* cluster,
                                                             ResourceTypes* types) {
  ASSIGN_OR_RETURN(const std::vector<PolicyObject> found, FindPrivilegesPolicy(cluster, types));
  PrivilegesPolicyState state;
  // One of the two alone does nothing.
  if (found.size() < 2) return state;
  state.in_force = true;
  const Json* const parameter = FindPath(found.front().object, {"spec", "paramRef"});
  if (parameter == nullptr) return state;
  const std::string ns = TextOf(*parameter, "namespace"), name = TextOf(*parameter, "name");
  if (ns.empty() || name.empty()) return state;
  const absl::StatusOr<Json> there = GetObject(
      cluster,
      absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/configmaps/", EncodeQuery(name)));
  if (absl::IsNotFound(there.status())) {
    if (TextOf(*parameter, "parameterNotFoundAction") != "Allow") {
      state.missing_parameter = absl::StrCat(ns, "/", name);
    }
    return state;
  }
  RETURN_IF_ERROR(there.status());
  const Json* const data = Find(*there, "data");
  if (data != nullptr) state.previous_image = TextOf(*data, kPreviousImageKey);
  state.ns = ns;
  return state;
}

}  // namespace byrnie
