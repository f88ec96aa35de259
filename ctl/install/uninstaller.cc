#include "ctl/install/uninstaller.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/privileges_policy.h"

namespace byrnie {
namespace {

constexpr size_t kMaxNamed = 5;
constexpr char kCreatedBy[] = "byrnie.io/created-by";

constexpr char kInjectLabel[] = "byrnie.io/inject";
constexpr char kPodSecurityLabel[] = "pod-security.kubernetes.io/enforce";

ResourceType ConfigMaps() { return {"/api/v1", "configmaps", true}; }

// Whether new pods are not made while it is there and the rest is not.
bool KeepsPodsAway(const Json& object) {
  const std::string kind = TextOf(object, "kind");
  return absl::EndsWith(kind, "WebhookConfiguration") || kind == "ValidatingAdmissionPolicyBinding";
}

}  // namespace

absl::Status Uninstaller::CheckNoMeshedPods() {
  if (options_.force) return absl::OkStatus();
  // Those that have ended need nobody.
  ASSIGN_OR_RETURN(
      std::vector<Json> pods,
      ListObjects(cluster_, "/api/v1/pods",
                  absl::StrCat("labelSelector=", EncodeQuery("byrnie.io/rev"), "&fieldSelector=",
                               EncodeQuery("status.phase!=Succeeded,status.phase!=Failed"))));
  // Nor do those that have been told to end, soon.
  pods.erase(std::remove_if(pods.begin(), pods.end(),
                            [](const Json& pod) {
                              return FindPath(pod, {"metadata", "deletionTimestamp"}) != nullptr;
                            }),
             pods.end());
  if (pods.empty()) return absl::OkStatus();
  std::vector<std::string> names;
  for (const Json& pod : pods) {
    if (names.size() == kMaxNamed) break;
    names.push_back(absl::StrCat(NamespaceOf(pod), "/", ObjectNameOf(pod)));
  }
  const size_t more = pods.size() - names.size();
  return absl::FailedPreconditionError(absl::StrCat(
      pods.size(), pods.size() == 1 ? " pod has" : " pods have", " Byrnie's sidecar: ",
      absl::StrJoin(names, ", "), more == 0 ? "" : absl::StrCat(" and ", more, " more"),
      "; take the label byrnie.io/inject off their namespaces and restart them (kubectl rollout "
      "restart), or give --force: their certificates end, and then their connections"));
}

absl::StatusOr<std::vector<Uninstaller::Item>> Uninstaller::FindOurs(
    const std::vector<Json>& known) {
  std::vector<Item> items;
  std::set<std::string> paths;
  for (Json object : known) {
    const std::string kind = TextOf(object, "kind");
    const absl::StatusOr<ResourceType> type = TypeOf(types_, &object);
    if (absl::IsNotFound(type.status())) continue;
    RETURN_IF_ERROR(type.status());
    if (!paths.insert(type->ListPath()).second) continue;
    ASSIGN_OR_RETURN(std::vector<Json> found,
                     ListObjects(cluster_, type->ListPath(),
                                 absl::StrCat("labelSelector=", EncodeQuery(kInstallSelector))));
    for (Json& item : found) {
      // Items of a list do not say it.
      item["kind"] = kind;
      items.push_back({*type, std::move(item)});
    }
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return InstallRank(a.object) > InstallRank(b.object);
  });
  return items;
}

absl::Status Uninstaller::Run(const std::vector<Json>& known) {
  ASSIGN_OR_RETURN(const std::vector<Item> items, FindOurs(known));
  const absl::StatusOr<std::vector<PolicyObject>> policy = FindPrivilegesPolicy(cluster_, types_);
  // Whoever only has what install needs may not know, and need not have applied it.
  const bool unknown = absl::IsPermissionDenied(policy.status());
  if (!policy.ok() && !unknown) return policy.status();
  found_ = !items.empty() || (policy.ok() && !policy->empty());
  if (!found_) return absl::OkStatus();
  RETURN_IF_ERROR(CheckNoMeshedPods());
  // Before its parameter, without which it refuses every pod.
  if (unknown) {
    TellOfUnknownPolicy(policy.status());
  } else {
    for (const PolicyObject& one : *policy) RETURN_IF_ERROR(Delete(one.type, one.object));
  }
  ASSIGN_OR_RETURN(const std::vector<Json> bundles, FindBundles());
  std::vector<std::string> namespaces;
  for (const Item& item : items) {
    const std::string kind = TextOf(item.object, "kind");
    if (kind == "Namespace") {
      namespaces.push_back(ObjectNameOf(item.object));
    } else if (options_.purge || (kind != "Secret" && kind != "CustomResourceDefinition")) {
      RETURN_IF_ERROR(Delete(item.type, item.object));
    } else {
      Keep(item.object, kind == "Secret" ? "without it the CA is lost" : "the policies are in it");
    }
  }
  if (options_.purge) RETURN_IF_ERROR(Purge(namespaces, bundles));
  for (const Item& item : items) {
    if (TextOf(item.object, "kind") != "Namespace") continue;
    const bool made = FindPath(item.object, {"metadata", "annotations", kCreatedBy}) != nullptr;
    if (options_.purge && made) {
      RETURN_IF_ERROR(Delete(item.type, item.object));
    } else {
      Keep(item.object, made ? "the CA's key and store are in it" : "install has not made it");
    }
  }
  return TellWhatStays(bundles);
}

void Uninstaller::TellOfUnknownPolicy(const absl::Status& why) {
  InstallStep step;
  step.outcome = InstallStep::Outcome::kKept;
  step.kind = "ValidatingAdmissionPolicyBinding";
  step.name = std::string(kPrivilegesPolicy);
  step.details.push_back(absl::StrCat(
      "where it is there, which could not be looked at (", why.message(),
      "), it refuses every pod of meshed namespaces from now on: ", kDeletePrivilegesPolicy));
  tell_(step);
}

absl::StatusOr<std::vector<Json>> Uninstaller::FindBundles() {
  ASSIGN_OR_RETURN(std::vector<Json> found,
                   ListObjects(cluster_, ConfigMaps().ListPath(),
                               absl::StrCat("fieldSelector=",
                                            EncodeQuery("metadata.name=byrnie-trust-bundle"))));
  for (Json& map : found) map["kind"] = "ConfigMap";
  return found;
}

absl::Status Uninstaller::TellWhatStays(const std::vector<Json>& bundles) {
  std::set<std::string> with_bundle;
  for (const Json& bundle : bundles) {
    with_bundle.insert(NamespaceOf(bundle));
    if (!options_.purge) {
      Keep(bundle, "public keys that nobody reads any more; uninstall --purge takes them");
    }
  }
  ASSIGN_OR_RETURN(const std::vector<Json> all, ListObjects(cluster_, "/api/v1/namespaces", ""));
  for (Json ns : all) {
    const Json* const labels = FindPath(ns, {"metadata", "labels"});
    if (labels == nullptr) continue;
    const bool meshed = TextOf(*labels, kInjectLabel) == "true";
    const bool open = TextOf(*labels, kPodSecurityLabel) == "privileged";
    // Others may have it without us.
    if (!meshed && (!open || with_bundle.count(ObjectNameOf(ns)) == 0)) continue;
    ns["kind"] = "Namespace";
    InstallStep step = StepFor(ns, InstallStep::Outcome::kKept);
    if (meshed) {
      step.details.push_back(absl::StrCat("its label ", kInjectLabel,
                                          "=true meshes its pods when Byrnie comes again"));
    }
    if (open) {
      step.details.push_back(absl::StrCat("its label ", kPodSecurityLabel,
                                          "=privileged is yours to put back, if it was for the "
                                          "sidecars"));
    }
    tell_(step);
  }
  return absl::OkStatus();
}

absl::Status Uninstaller::Purge(const std::vector<std::string>& namespaces,
                                const std::vector<Json>& bundles) {
  for (const std::string& ns : namespaces) {
    const ResourceType claims = {"/api/v1", "persistentvolumeclaims", true};
    ASSIGN_OR_RETURN(
        std::vector<Json> found,
        ListObjects(cluster_, claims.ListPath(ns),
                    absl::StrCat("labelSelector=", EncodeQuery(kControlPlaneSelector))));
    for (Json& claim : found) {
      claim["kind"] = "PersistentVolumeClaim";
      RETURN_IF_ERROR(Delete(claims, claim));
    }
  }
  for (const Json& bundle : bundles) RETURN_IF_ERROR(Delete(ConfigMaps(), bundle));
  return absl::OkStatus();
}

absl::Status Uninstaller::Delete(const ResourceType& type, const Json& object) {
  const std::string path = type.Path(NamespaceOf(object), ObjectNameOf(object));
  if (!options_.dry_run) {
    ApiRequest request;
    request.method = "DELETE";
    request.target = absl::StrCat(path, "?propagationPolicy=Background");
    const absl::Status gone = CallForObject(cluster_, std::move(request)).status();
    if (!gone.ok() && !absl::IsNotFound(gone)) {
      return absl::Status(gone.code(), absl::StrCat(DescribeObject(object), ": ", gone.message()));
    }
    // While it is there pods are not made in meshed namespaces: nothing else goes before it.
    if (KeepsPodsAway(object) && !absl::IsNotFound(GetObject(cluster_, path).status())) {
      return absl::FailedPreconditionError(absl::StrCat(
          DescribeObject(object),
          " does not go: something keeps it (kubectl get -o yaml, look at "
          "its finalizers); the rest is as it was, so that new pods are answered for"));
    }
  }
  tell_(StepFor(object, InstallStep::Outcome::kDeleted));
  return absl::OkStatus();
}

void Uninstaller::Keep(const Json& object, std::string why) {
  InstallStep step = StepFor(object, InstallStep::Outcome::kKept);
  step.details.push_back(std::move(why));
  tell_(step);
}

}  // namespace byrnie
