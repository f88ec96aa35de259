#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "ctl/install/called_services.h"
#include "ctl/install/exposed_probes.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/installer.h"
#include "ctl/install/preflight.h"
#include "ctl/install/tried_pod.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {
namespace {

// Something that may be allowed. A value.
struct Deed {
  std::string verb, group, resource, name, ns, path;

  std::string Text() const {
    if (!path.empty()) return absl::StrCat(verb, " ", path);
    return absl::StrCat(verb, " ", resource, group.empty() ? "" : ".", group,
                        name.empty() ? "" : absl::StrCat(" ", name),
                        ns.empty() ? "" : absl::StrCat(" in ", ns));
  }
};

absl::StatusOr<bool> MayDo(ClusterApi* cluster, const Deed& deed) {
  Json review = Json::object();
  review["apiVersion"] = "authorization.k8s.io/v1";
  review["kind"] = "SelfSubjectAccessReview";
  Json* const spec = ObjectIn(&review, "spec");
  if (deed.path.empty()) {
    Json* const attributes = ObjectIn(spec, "resourceAttributes");
    (*attributes)["verb"] = deed.verb;
    (*attributes)["group"] = deed.group;
    (*attributes)["resource"] = deed.resource;
    if (!deed.name.empty()) (*attributes)["name"] = deed.name;
    if (!deed.ns.empty()) (*attributes)["namespace"] = deed.ns;
  } else {
    Json* const attributes = ObjectIn(spec, "nonResourceAttributes");
    (*attributes)["verb"] = deed.verb;
    (*attributes)["path"] = deed.path;
  }
  ApiRequest request;
  request.method = "POST";
  request.target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  request.body = ToText(review);
  ASSIGN_OR_RETURN(const Json answer, CallForObject(cluster, std::move(request)));
  const Json* const status = Find(answer, "status");
  return status != nullptr && IsTrue(*status, "allowed");
}

// What a role grants: whoever makes the role must have it, or the right to grant what one has not.
std::vector<Deed> GrantedBy(const Json& role) {
  std::vector<Deed> deeds;
  for (const Json& rule : ItemsOf(role, "rules")) {
    for (const Json& verb : ItemsOf(rule, "verbs")) {
      Deed deed;
      deed.verb = verb.is_string() ? verb.get<std::string>() : "";
      for (const Json& path : ItemsOf(rule, "nonResourceURLs")) {
        deed.path = path.is_string() ? path.get<std::string>() : "";
        deeds.push_back(deed);
      }
      deed.path.clear();
      for (const Json& group : ItemsOf(rule, "apiGroups")) {
        for (const Json& resource : ItemsOf(rule, "resources")) {
          deed.group = group.is_string() ? group.get<std::string>() : "";
          deed.resource = resource.is_string() ? resource.get<std::string>() : "";
          const Json::array_t& names = ItemsOf(rule, "resourceNames");
          deed.name =
              names.empty() || !names.front().is_string() ? "" : names.front().get<std::string>();
          deeds.push_back(deed);
        }
      }
    }
  }
  return deeds;
}

std::string GroupOf(const std::string& api_version) {
  const size_t slash = api_version.find('/');
  return slash == std::string::npos ? "" : api_version.substr(0, slash);
}

// What install, check and uninstall do themselves, but for the policy for privileges.
absl::StatusOr<std::vector<Deed>> DeedsFor(ResourceTypes* types, const std::string& ns,
                                           const std::vector<Json>& objects) {
  std::vector<Deed> deeds;
  std::set<std::string> seen;
  const auto add = [&](Deed deed) {
    if (seen.insert(deed.Text()).second) deeds.push_back(std::move(deed));
  };
  for (Json object : objects) {
    const absl::StatusOr<ResourceType> type = TypeOf(types, &object);
    if (absl::IsNotFound(type.status())) continue;
    RETURN_IF_ERROR(type.status());
    const std::string group = GroupOf(TextOf(object, "apiVersion"));
    for (const char* verb : {"get", "create", "patch", "delete"}) {
      add({verb, group, type->plural, "", type->namespaced ? ns : "", ""});
    }
    add({"list", group, type->plural, "", "", ""});
  }
  for (const char* verb : {"get", "create"}) add({verb, "", "secrets", "", ns, ""});
  for (const char* resource : {"pods", "secrets"}) add({"list", "", resource, "", "", ""});
  return deeds;
}

// What uninstall --purge does beyond that.
std::vector<Deed> DeedsOfPurge(const std::string& ns) {
  return {{"delete", "", "secrets", "", ns, ""},
          {"list", "", "persistentvolumeclaims", "", ns, ""},
          {"delete", "", "persistentvolumeclaims", "", ns, ""},
          {"delete", "", "configmaps", "", "", ""}};
}

absl::StatusOr<std::vector<std::string>> Forbidden(ClusterApi* cluster,
                                                   const std::vector<Deed>& deeds) {
  std::vector<std::string> forbidden;
  for (const Deed& deed : deeds) {
    ASSIGN_OR_RETURN(const bool may, MayDo(cluster, deed));
    if (!may) forbidden.push_back(deed.Text());
  }
  return forbidden;
}

// What uninstall does to the policy for privileges, of whoever has applied it.
absl::StatusOr<std::vector<std::string>> ForbiddenOfPolicy(ClusterApi* cluster,
                                                           ResourceTypes* types) {
  ASSIGN_OR_RETURN(const std::vector<ResourceType> policies, PrivilegesPolicyTypes(types));
  std::vector<Deed> deeds;
  for (const ResourceType& type : policies) {
    for (const char* verb : {"get", "delete"}) {
      deeds.push_back({verb, "admissionregistration.k8s.io", type.plural, "", "", ""});
    }
  }
  return Forbidden(cluster, deeds);
}

// What install, uninstall and the control plane do.
absl::StatusOr<std::vector<std::string>> ForbiddenOfAll(ClusterApi* cluster, ResourceTypes* types,
                                                        const std::string& ns,
                                                        const std::vector<Json>& objects) {
  ASSIGN_OR_RETURN(std::vector<Deed> deeds, DeedsFor(types, ns, objects));
  for (const Json& object : objects) {
    if (TextOf(object, "kind") != "ClusterRole") continue;
    ASSIGN_OR_RETURN(const bool escalate, MayDo(cluster, {"escalate", "rbac.authorization.k8s.io",
                                                          "clusterroles", "", "", ""}));
    ASSIGN_OR_RETURN(const bool bind, MayDo(cluster, {"bind", "rbac.authorization.k8s.io",
                                                      "clusterroles", "", "", ""}));
    if (escalate && bind) continue;
    for (Deed& deed : GrantedBy(object)) deeds.push_back(std::move(deed));
  }
  return Forbidden(cluster, deeds);
}

// An administrator may do everything: then two questions are enough.
absl::StatusOr<bool> MayDoEverything(ClusterApi* cluster) {
  ASSIGN_OR_RETURN(const bool any, MayDo(cluster, {"*", "*", "*", "", "", ""}));
  ASSIGN_OR_RETURN(const bool any_path, MayDo(cluster, {"*", "", "", "", "", "*"}));
  return any && any_path;
}

// What is there is not looked into.
absl::Status AddIfMissing(ClusterApi* cluster, const std::string& ns, const std::string& name,
                          std::vector<std::string>* missing) {
  ApiRequest request;
  request.target =
      absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/secrets/", EncodeQuery(name));
  request.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
  const absl::Status found = CallForObject(cluster, std::move(request)).status();
  if (!absl::IsNotFound(found)) return found;
  missing->push_back(absl::StrCat(ns, "/", name));
  return absl::OkStatus();
}

// Of the sidecars.
std::vector<std::string> PullSecretsOfPods(const InstallSettings& settings) {
  if (settings.pull_secrets_given) return settings.image_pull_secrets;
  const absl::StatusOr<InjectorConfig> config = InjectorConfig::Parse(
      settings.injector_config.empty() ? "{}" : absl::string_view(settings.injector_config));
  return config.ok() ? config->image_pull_secrets : std::vector<std::string>();
}

absl::StatusOr<std::vector<std::string>> MissingPullSecrets(
    ClusterApi* cluster, const ClusterFacts& facts, const std::vector<std::string>& of_plane,
    const std::vector<std::string>& of_pods) {
  std::vector<std::string> missing;
  for (const std::string& name : of_plane) {
    RETURN_IF_ERROR(AddIfMissing(cluster, facts.ns, name, &missing));
  }
  if (of_pods.empty()) return missing;
  RETURN_IF_ERROR(facts.namespaces.status());
  for (const Json& ns : *facts.namespaces) {
    if (!IsMeshedNamespace(ns)) continue;
    for (const std::string& name : of_pods) {
      RETURN_IF_ERROR(AddIfMissing(cluster, ObjectNameOf(ns), name, &missing));
    }
  }
  return missing;
}

void TryAPod(ClusterApi* cluster, ClusterFacts* facts) {
  if (!facts->webhooks.ok() || !facts->namespaces.ok()) return;
  const bool asked =
      std::any_of(facts->webhooks->begin(), facts->webhooks->end(),
                  [](const Json& webhook) { return ObjectNameOf(webhook) == kInjectorConfigMap; });
  if (!asked) return;
  for (const Json& ns : *facts->namespaces) {
    if (!IsMeshedNamespace(ns) || !MayBeTriedIn(ns)) continue;
    facts->tried_namespace = ObjectNameOf(ns);
    facts->tried_pod = TryPod(cluster, facts->tried_namespace);
    return;
  }
}

absl::StatusOr<std::vector<std::string>> ExposedProbesOf(ClusterApi* cluster,
                                                         const ClusterFacts& facts) {
  RETURN_IF_ERROR(facts.namespaces.status());
  std::vector<std::string> meshed;
  for (const Json& ns : *facts.namespaces) {
    if (IsMeshedNamespace(ns)) meshed.push_back(ObjectNameOf(ns));
  }
  return FindExposedProbes(cluster, meshed);
}

}  // namespace

void LookForPullSecrets(ClusterApi* cluster, ClusterFacts* facts) {
  if (!facts->settings.ok()) return;
  const InstallSettings& settings = facts->settings->settings;
  const std::vector<std::string> of_pods = PullSecretsOfPods(settings);
  if (settings.image_pull_secrets.empty() && of_pods.empty()) return;
  facts->missing_pull_secrets =
      MissingPullSecrets(cluster, *facts, settings.image_pull_secrets, of_pods);
}

void LookForPodsOnUnfitNodes(ClusterApi* cluster, ClusterFacts* facts) {
  std::vector<std::string> meshed;
  for (const std::string& node : UnfitNodes(*facts)) {
    // One is enough, of as many as there may be.
    const absl::StatusOr<Json> pods = GetObject(
        cluster,
        absl::StrCat("/api/v1/pods?limit=1&labelSelector=", EncodeQuery("byrnie.io/rev"),
                     "&fieldSelector=", EncodeQuery(absl::StrCat("spec.nodeName=", node))));
    if (!pods.ok()) {
      facts->meshed_on = pods.status();
      return;
    }
    if (!ItemsOf(*pods, "items").empty()) meshed.push_back(node);
  }
  facts->meshed_on = std::move(meshed);
}

absl::StatusOr<ClusterFacts> GatherClusterFacts(ClusterApi* cluster, ResourceTypes* types,
                                                const std::string& ns,
                                                const std::vector<Json>& objects) {
  ClusterFacts facts;
  facts.ns = ns;
  for (const Json& object : objects) {
    const Json* const spec = Find(object, "spec");
    facts.needs_volume =
        facts.needs_volume || (spec != nullptr && !ItemsOf(*spec, "volumeClaimTemplates").empty());
  }
  // Whoever is not known hears it here; the version is for everybody who is.
  ASSIGN_OR_RETURN(facts.version, GetObject(cluster, "/version"));
  const absl::StatusOr<bool> everything = MayDoEverything(cluster);
  if (absl::IsUnauthenticated(everything.status())) return everything.status();
  if (!everything.ok()) {
    facts.forbidden = facts.forbidden_policy = facts.forbidden_purge = everything.status();
  } else if (*everything) {
    facts.forbidden = facts.forbidden_policy = facts.forbidden_purge = std::vector<std::string>();
  } else {
    facts.forbidden = ForbiddenOfAll(cluster, types, ns, objects);
    facts.forbidden_policy = ForbiddenOfPolicy(cluster, types);
    facts.forbidden_purge = Forbidden(cluster, DeedsOfPurge(ns));
  }
  const std::string of_namespace = absl::StrCat("/namespaces/", EncodeQuery(ns), "/");
  const std::string admission = "/apis/admissionregistration.k8s.io/v1/";
  facts.webhooks = ListObjects(cluster, admission + "mutatingwebhookconfigurations", "");
  facts.called_services = FindCalledServices(cluster, facts.webhooks);
  facts.nodes = ListObjects(cluster, "/api/v1/nodes", "");
  facts.namespaces = ListObjects(cluster, "/api/v1/namespaces", "");
  facts.network_policies = ListObjects(cluster, "/apis/networking.k8s.io/v1/networkpolicies", "");
  facts.exposed_probes = ExposedProbesOf(cluster, facts);
  facts.storage_classes = ListObjects(cluster, "/apis/storage.k8s.io/v1/storageclasses", "");
  facts.volume_claims =
      ListObjects(cluster, absl::StrCat("/api/v1", of_namespace, "persistentvolumeclaims"),
                  absl::StrCat("labelSelector=", EncodeQuery(kControlPlaneSelector)));
  facts.stateful_set = GetObject(
      cluster, absl::StrCat("/apis/apps/v1", of_namespace, "statefulsets/byrnie-controlplane"));
  facts.store_key =
      GetObject(cluster, absl::StrCat("/api/v1", of_namespace, "secrets/", kStoreKeySecret));
  facts.role_binding = GetObject(
      cluster, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/byrnie-controlplane");
  facts.privileges_policy = LookAtPrivilegesPolicy(cluster, types);
  TryAPod(cluster, &facts);
  return facts;
}

}  // namespace byrnie
