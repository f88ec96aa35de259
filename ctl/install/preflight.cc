#include "ctl/install/preflight.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/node_checks.h"
#include "ctl/install/preflight_results.h"

namespace byrnie {
namespace {

using Names = std::vector<std::string>;

constexpr char kInjectLabel[] = "byrnie.io/inject";
constexpr char kWebhook[] = "byrnie-injector";
// What an API server calls it where it fails.
constexpr char kWebhookName[] = "injector.byrnie.io";

std::string LabelOf(const Json& object, const char* name) {
  const Json* const labels = FindPath(object, {"metadata", "labels"});
  return labels == nullptr ? "" : TextOf(*labels, name);
}

CheckResult Permissions(const ClusterFacts& facts) {
  constexpr char kName[] = "permissions";
  if (!facts.forbidden.ok()) return NotAsked(kName, facts.forbidden.status());
  if (!facts.forbidden->empty()) {
    return BadCheck(
        kName, absl::StrCat("not allowed: ", SomeNames(*facts.forbidden)),
        "install as an administrator of the cluster (cluster-admin), or with these rights");
  }
  if (!facts.forbidden_policy.ok()) return NotAsked(kName, facts.forbidden_policy.status());
  if (!facts.forbidden_purge.ok()) return NotAsked(kName, facts.forbidden_purge.status());
  const std::string all = "all that install and uninstall do is allowed";
  Names but, remedies;
  if (!facts.forbidden_policy->empty()) {
    but.push_back(absl::StrCat("what uninstall does where the policy ", kPrivilegesPolicy,
                               " is: ", SomeNames(*facts.forbidden_policy)));
    remedies.push_back(
        absl::StrCat("let whoever has applied that policy take it away before uninstall, which "
                     "goes on without: ",
                     kDeletePrivilegesPolicy));
  }
  if (!facts.forbidden_purge->empty()) {
    but.push_back(absl::StrCat("what uninstall --purge does: ", SomeNames(*facts.forbidden_purge)));
    remedies.emplace_back(
        "let an administrator of the cluster purge it, once it is to go for good");
  }
  if (but.empty()) return GoodCheck(kName, all);
  return NoteCheck(kName, absl::StrCat(all, ", but not ", absl::StrJoin(but, "; nor ")),
                   absl::StrJoin(remedies, "; "));
}

// Whose sidecars a webhook puts into pods; "" where it is none that is known.
std::string MeshOf(const Json& configuration) {
  static constexpr std::pair<const char*, const char*> kMeshes[] = {
      {".istio.io", "Istio"},
      {".linkerd.io", "Linkerd"},
      {".hashicorp.com", "Consul"},
      {".kuma.io", "Kuma"},
      {".openservicemesh.io", "Open Service Mesh"},
      {".maistra.io", "Istio"},
      {".cilium.io", "Cilium"},
  };
  for (const Json& webhook : ItemsOf(configuration, "webhooks")) {
    for (const auto& [suffix, mesh] : kMeshes) {
      if (absl::EndsWith(TextOf(webhook, "name"), suffix)) return mesh;
    }
  }
  return "";
}

// Whether pods of a namespace get the sidecar of another mesh, or its node's proxy.
bool IsOfAnotherMesh(const Json& ns) {
  // Without a value: any is.
  static constexpr struct {
    const char *map, *name, *value;
  } kMarks[] = {{"labels", "istio-injection", "enabled"},
                {"labels", "istio.io/rev", ""},
                {"labels", "istio.io/dataplane-mode", "ambient"},
                {"annotations", "linkerd.io/inject", "enabled"},
                {"annotations", "linkerd.io/inject", "ingress"},
                {"labels", "kuma.io/sidecar-injection", "enabled"},
                {"annotations", "kuma.io/sidecar-injection", "enabled"},
                {"annotations", "consul.hashicorp.com/connect-inject", "true"},
                {"annotations", "openservicemesh.io/sidecar-injection", "enabled"}};
  return std::any_of(std::begin(kMarks), std::end(kMarks), [&ns](const auto& mark) {
    const Json* const said = FindPath(ns, {"metadata", mark.map, mark.name});
    return said != nullptr && (*mark.value == '\0' ? *said != "" : *said == mark.value);
  });
}

CheckResult OtherMeshes(const ClusterFacts& facts) {
  constexpr char kName[] = "other-meshes";
  if (!facts.webhooks.ok()) return NotAsked(kName, facts.webhooks.status());
  Names meshes, both;
  for (const Json& webhook : *facts.webhooks) {
    const std::string mesh = MeshOf(webhook);
    if (!mesh.empty()) meshes.push_back(absl::StrCat(mesh, " (", ObjectNameOf(webhook), ")"));
  }
  if (facts.namespaces.ok()) {
    for (const Json& ns : *facts.namespaces) {
      if (IsMeshedNamespace(ns) && IsOfAnotherMesh(ns)) both.push_back(ObjectNameOf(ns));
    }
  }
  if (!both.empty()) {
    return BadCheck(kName, absl::StrCat("two meshes are to be in the pods of ", SomeNames(both)),
                    "take the other mesh's label or annotation off these namespaces, see \"From "
                    "Istio\" and \"From "
                    "Linkerd\" in docs/kubernetes.md");
  }
  if (meshes.empty()) return GoodCheck(kName, "no other mesh injects sidecars");
  return NoteCheck(
      kName, absl::StrCat("there is another mesh: ", SomeNames(meshes)),
      "both can be in the cluster, each in namespaces of its own. Where pods of the two talk, "
      "both have to be permissive: they trust different CAs and speak plaintext, see \"From "
      "Istio\" and \"From Linkerd\" in docs/kubernetes.md");
}

// Others mesh by "enabled", and nobody says that this is not the word here.
CheckResult NamespaceLabels(const ClusterFacts& facts) {
  constexpr char kName[] = "namespace-labels";
  if (!facts.namespaces.ok()) return NotAsked(kName, facts.namespaces.status());
  Names wrong, never;
  for (const Json& ns : *facts.namespaces) {
    const std::string name = ObjectNameOf(ns), label = LabelOf(ns, kInjectLabel);
    if (!label.empty() && label != "true" && label != "false") {
      wrong.push_back(absl::StrCat(name, " (", label, ")"));
    }
    if (label == "true" && (name == "kube-system" || name == facts.ns)) never.push_back(name);
  }
  if (!wrong.empty()) {
    return BadCheck(kName,
                    absl::StrCat(kInjectLabel,
                                 " is neither \"true\" nor \"false\", so that nobody "
                                 "meshes what is in ",
                                 SomeNames(wrong)),
                    absl::StrCat("kubectl label --overwrite namespace NAME ", kInjectLabel,
                                 "=true; or =false, where it is to stay out"));
  }
  if (!never.empty()) {
    return NoteCheck(
        kName,
        absl::StrCat(kInjectLabel, "=true is on ", SomeNames(never),
                     ", which is not to be meshed: what the cluster or Byrnie itself "
                     "needs must not wait for a sidecar"),
        absl::StrCat("kubectl label --overwrite namespace NAME ", kInjectLabel, "=false"));
  }
  return GoodCheck(kName, absl::StrCat(kInjectLabel, " is \"true\" or \"false\" wherever it is"));
}

// Whether the API server refuses the sidecar in the namespace in which a pod was tried.
bool ViolatesPodSecurity(const ClusterFacts& facts) {
  return facts.tried_pod.has_value() &&
         absl::StrContains(facts.tried_pod->status().message(), "violates PodSecurity");
}

CheckResult PodSecurity(const ClusterFacts& facts) {
  constexpr char kName[] = "pod-security";
  if (!facts.namespaces.ok()) return NotAsked(kName, facts.namespaces.status());
  Names refused, silent;
  size_t meshed = 0;
  for (const Json& ns : *facts.namespaces) {
    if (!IsMeshedNamespace(ns)) continue;
    ++meshed;
    const std::string level = LabelOf(ns, "pod-security.kubernetes.io/enforce");
    if (!level.empty() && level != "privileged") {
      refused.push_back(absl::StrCat(ObjectNameOf(ns), " (", level, ")"));
    } else if (level.empty()) {
      silent.push_back(ObjectNameOf(ns));
      if (ViolatesPodSecurity(facts) && facts.tried_namespace == silent.back()) {
        refused.push_back(absl::StrCat(silent.back(), " (by the cluster's default)"));
      }
    }
  }
  if (refused.empty()) {
    std::string message = absl::StrCat(
        meshed, meshed == 1 ? " meshed namespace, which lets" : " meshed namespaces, which let",
        " NET_ADMIN in");
    if (!silent.empty()) {
      absl::StrAppend(&message,
                      "; where no label says so, by the cluster's default, which is "
                      "privileged unless somebody has changed it: ",
                      SomeNames(silent));
    }
    return GoodCheck(kName, std::move(message));
  }
  return BadCheck(
      kName, absl::StrCat("pods with a sidecar are refused in ", SomeNames(refused)),
      "the sidecar's redirect needs NET_ADMIN: kubectl label --overwrite namespace NAME "
      "pod-security.kubernetes.io/enforce=privileged");
}

CheckResult PrivilegesPolicy(const ClusterFacts& facts) {
  constexpr char kName[] = "privileges-policy";
  if (!facts.privileges_policy.ok()) return NotAsked(kName, facts.privileges_policy.status());
  const PrivilegesPolicyState& state = *facts.privileges_policy;
  if (!state.in_force) return GoodCheck(kName, absl::StrCat(kPrivilegesPolicy, " is not in force"));
  if (!state.previous_image.empty()) {
    return NoteCheck(
        kName,
        absl::StrCat(kPrivilegesPolicy, " keeps NET_ADMIN to the redirect, and lets ",
                     "it have the image before, too: ", state.previous_image),
        absl::StrCat("byrniectl install --wait takes it out when it has seen a new pod "
                     "with the other image; where all new pods have that: ",
                     ForgetPreviousImageByHand(state.ns)));
  }
  if (state.missing_parameter.empty()) {
    return GoodCheck(kName, absl::StrCat(kPrivilegesPolicy, " keeps NET_ADMIN to the redirect"));
  }
  std::string message = absl::StrCat(kPrivilegesPolicy, " is there, and the ConfigMap ",
                                     state.missing_parameter, " that it goes by is not: ");
  const std::string remedy = absl::StrCat(
      "byrniectl install makes it, where paramRef of the binding names its namespace; or ",
      kDeletePrivilegesPolicy);
  if (facts.namespaces.ok() &&
      std::none_of(facts.namespaces->begin(), facts.namespaces->end(), IsMeshedNamespace)) {
    return NoteCheck(kName, message + "it would refuse every pod of a namespace that is labelled",
                     remedy);
  }
  return BadCheck(kName,
                  message + "it refuses every pod of meshed namespaces, and every change of one",
                  remedy);
}

CheckResult NetworkPolicies(const ClusterFacts& facts) {
  constexpr char kName[] = "network-policies";
  if (!facts.network_policies.ok()) return NotAsked(kName, facts.network_policies.status());
  if (!facts.namespaces.ok()) return NotAsked(kName, facts.namespaces.status());
  Names found;
  for (const Json& policy : *facts.network_policies) {
    const bool meshed =
        std::any_of(facts.namespaces->begin(), facts.namespaces->end(), [&](const Json& ns) {
          return IsMeshedNamespace(ns) && ObjectNameOf(ns) == NamespaceOf(policy);
        });
    if (meshed) found.push_back(absl::StrCat(NamespaceOf(policy), "/", ObjectNameOf(policy)));
  }
  if (found.empty()) return GoodCheck(kName, "none in meshed namespaces");
  return NoteCheck(
      kName, absl::StrCat("there are some in meshed namespaces: ", SomeNames(found)),
      absl::StrCat("they have to let in TCP 15008 from meshed pods, and out TCP 15008 to "
                   "them and TCP 15012 to ",
                   facts.ns,
                   "; all ports come by 15008, so that what they say of ports an "
                   "AccessPolicy has to say: see \"Network policies\" in "
                   "docs/kubernetes.md"));
}

CheckResult ProbePorts(const ClusterFacts& facts) {
  constexpr char kName[] = "probe-ports";
  if (!facts.exposed_probes.ok()) return NotAsked(kName, facts.exposed_probes.status());
  if (facts.exposed_probes->empty()) {
    return GoodCheck(kName, "no Service brings strangers to a port that is declared for probes");
  }
  return NoteCheck(kName,
                   absl::StrCat("open to whoever reaches the Service, in plaintext and past all "
                                "policies, because the node may come in for probes: ",
                                SomeNames(*facts.exposed_probes)),
                   "give these pods byrnie.io/probes: rewrite, or the Service "
                   "externalTrafficPolicy: Local; see \"Probes\" in docs/kubernetes.md");
}

// The API server has no sidecar, and its TLS is plaintext to a proxy.
CheckResult ApiServersServices(const ClusterFacts& facts) {
  constexpr char kName[] = "api-server-calls";
  if (!facts.namespaces.ok()) return NotAsked(kName, facts.namespaces.status());
  Names found;
  for (const CalledService& called : facts.called_services.found) {
    const bool meshed =
        std::any_of(facts.namespaces->begin(), facts.namespaces->end(), [&called](const Json& ns) {
          return IsMeshedNamespace(ns) && ObjectNameOf(ns) == called.ns;
        });
    if (meshed) found.push_back(absl::StrCat(called.ns, "/", called.name, " (", called.by, ")"));
  }
  const Names& unknown = facts.called_services.unknown;
  const std::string also =
      unknown.empty() ? "" : absl::StrCat("could not be looked at: ", absl::StrJoin(unknown, "; "));
  if (!found.empty()) {
    return NoteCheck(
        kName,
        absl::StrCat("the API server, which has no sidecar, calls services of meshed "
                     "namespaces: ",
                     SomeNames(found), also.empty() ? "" : "; ", also),
        "strict pods refuse it, and the cluster what waits for their answer. Unless that is "
        "done already, give their pod templates byrnie.io/mtls-port-modes: PORT=permissive "
        "for the port that it calls, or the label byrnie.io/inject: \"false\"; see \"Clients "
        "that are not meshed yet\" in docs/kubernetes.md");
  }
  if (!also.empty()) return NoteCheck(kName, also, "let somebody look who may");
  return GoodCheck(kName, "the API server calls no service of a meshed namespace");
}

CheckResult Storage(const ClusterFacts& facts) {
  constexpr char kName[] = "storage";
  if (!facts.needs_volume) return GoodCheck(kName, "no volume is needed");
  if (facts.volume_claims.ok() && !facts.volume_claims->empty()) {
    const bool key_lost = absl::IsNotFound(facts.store_key.status());
    if (!key_lost) return GoodCheck(kName, "the volume of the control plane's store is there");
    return BadCheck(
        kName,
        absl::StrCat("there is the store of an earlier installation, without its key, the "
                     "Secret ",
                     facts.ns, "/", kStoreKeySecret),
        "put the key back, or delete the PersistentVolumeClaim, and with it the CA that was");
  }
  if (!facts.storage_classes.ok()) return NotAsked(kName, facts.storage_classes.status());
  const ControlPlaneSize size =
      facts.settings.ok() ? facts.settings->settings.size : ControlPlaneSize();
  if (!size.storage_class.empty()) {
    const bool there =
        std::any_of(facts.storage_classes->begin(), facts.storage_classes->end(),
                    [&size](const Json& one) { return ObjectNameOf(one) == size.storage_class; });
    if (there)
      return GoodCheck(kName, absl::StrCat("the volume is of the class ", size.storage_class));
    return BadCheck(
        kName, absl::StrCat("there is no StorageClass ", size.storage_class),
        "give another --storage_class, or none for the default, or make it: the control plane "
        "waits for its volume");
  }
  for (const Json& one : *facts.storage_classes) {
    const Json* const annotations = FindPath(one, {"metadata", "annotations"});
    if (annotations == nullptr) continue;
    for (const char* name : {"storageclass.kubernetes.io/is-default-class",
                             "storageclass.beta.kubernetes.io/is-default-class"}) {
      if (TextOf(*annotations, name) == "true") {
        return GoodCheck(kName, absl::StrCat("volumes are of the class ", ObjectNameOf(one)));
      }
    }
  }
  return NoteCheck(kName, "no StorageClass is the default: the control plane waits for its volume",
                   absl::StrCat("mark one as the default, give --storage_class, or make a "
                                "PersistentVolume of ",
                                size.volume_size.empty() ? "1Gi" : size.volume_size, " by hand"));
}

const Json* FindWebhook(const ClusterFacts& facts) {
  for (const Json& webhook : *facts.webhooks) {
    if (ObjectNameOf(webhook) == kWebhook) return &webhook;
  }
  return nullptr;
}

// The namespace that Byrnie is installed in; "" where it is not, or not known.
std::string InstalledIn(const ClusterFacts& facts) {
  if (!facts.role_binding.ok()) return "";
  for (const Json& subject : ItemsOf(*facts.role_binding, "subjects")) {
    if (!TextOf(subject, "namespace").empty()) return TextOf(subject, "namespace");
  }
  return "";
}

CheckResult Installation(const ClusterFacts& facts) {
  constexpr char kName[] = "installation";
  if (!facts.webhooks.ok()) return NotAsked(kName, facts.webhooks.status());
  const std::string elsewhere = InstalledIn(facts);
  if (!elsewhere.empty() && elsewhere != facts.ns) {
    return BadCheck(kName, absl::StrCat("Byrnie is installed in the namespace ", elsewhere),
                    absl::StrCat("give --namespace=", elsewhere, ", or take that one away first"));
  }
  const bool webhook = FindWebhook(facts) != nullptr;
  if (absl::IsNotFound(facts.stateful_set.status())) {
    if (webhook) {
      return BadCheck(
          kName,
          "what asks about new pods is there and no control plane that answers: no pods "
          "are made in meshed namespaces",
          "byrniectl install, or kubectl delete mutatingwebhookconfiguration "
          "byrnie-injector");
    }
    if (!elsewhere.empty()) {
      return NoteCheck(kName, "parts of an earlier installation are there",
                       "byrniectl install uses them");
    }
    return GoodCheck(kName, "nothing of Byrnie is there yet");
  }
  if (!facts.stateful_set.ok()) return NotAsked(kName, facts.stateful_set.status());
  if (LabelOf(*facts.stateful_set, "app.kubernetes.io/managed-by") != "byrniectl") {
    return NoteCheck(
        kName, "Byrnie is installed, by something else than byrniectl",
        "go on with what installed it, or take it over with byrniectl install --force");
  }
  const Json* const ready = FindPath(*facts.stateful_set, {"status", "readyReplicas"});
  if (webhook && (ready == nullptr || !ready->is_number() || *ready == 0)) {
    return BadCheck(kName,
                    "Byrnie is installed and no control plane is ready: no pods are made in "
                    "meshed namespaces",
                    absl::StrCat("kubectl -n ", facts.ns, " describe pods"));
  }
  return GoodCheck(kName, "Byrnie is installed: install brings it to this release");
}

CheckResult Settings(const ClusterFacts& facts) {
  constexpr char kName[] = "settings";
  if (!facts.settings.ok()) return NotAsked(kName, facts.settings.status());
  const SettingsPlan& plan = *facts.settings;
  if (!plan.refused.ok()) {
    return BadCheck(kName, absl::StrCat("install would be refused: ", plan.refused.message()),
                    plan.remedy);
  }
  const std::string kept = absl::StrJoin(plan.kept, ", ");
  if (!plan.changed.empty()) {
    return NoteCheck(
        kName,
        absl::StrCat("install would change: ", absl::StrJoin(plan.changed, ", "),
                     kept.empty() ? "" : "; and keep: ", kept),
        "byrniectl install --dry_run with the same flags says what becomes of each object");
  }
  if (kept.empty()) return GoodCheck(kName, "none are there to be kept");
  return GoodCheck(kName, absl::StrCat("install would keep: ", kept));
}

CheckResult PullSecrets(const ClusterFacts& facts) {
  constexpr char kName[] = "pull-secrets";
  if (!facts.missing_pull_secrets.has_value()) return GoodCheck(kName, "none are asked for");
  const absl::StatusOr<Names>& missing = *facts.missing_pull_secrets;
  if (!missing.ok()) return NotAsked(kName, missing.status());
  if (missing->empty()) return GoodCheck(kName, "they are in all namespaces that need them");
  return BadCheck(
      kName, absl::StrCat("missing: ", SomeNames(*missing)),
      "pods that need the image wait there in ErrImagePull: make these Secrets, see \"A "
      "private registry\" in docs/kubernetes.md");
}

// What the API server has made of a pod that it only tried.
CheckResult Webhook(const ClusterFacts& facts) {
  constexpr char kName[] = "webhook";
  if (!facts.webhooks.ok()) return NotAsked(kName, facts.webhooks.status());
  if (FindWebhook(facts) == nullptr) return GoodCheck(kName, "nobody is asked about new pods yet");
  if (!facts.tried_pod.has_value())
    return GoodCheck(kName, "no namespace is meshed: nobody is asked");
  const std::string where = absl::StrCat("a new pod of ", facts.tried_namespace);
  const absl::StatusOr<Json>& pod = *facts.tried_pod;
  if (ViolatesPodSecurity(facts)) {
    return GoodCheck(kName, absl::StrCat(where,
                                         " would have its sidecar, and be refused for it: see "
                                         "pod-security"));
  }
  const absl::string_view said = pod.status().message();
  const bool some_webhook = absl::StrContains(said, "failed calling webhook");
  if (some_webhook && !absl::StrContains(said, kWebhookName)) {
    return NoteCheck(kName,
                     absl::StrCat(where,
                                  " could not be tried, because a webhook of somebody else's "
                                  "fails: ",
                                  said),
                     "no pod is made there until that one answers, meshed or not");
  }
  if (some_webhook) {
    return BadCheck(
        kName,
        absl::StrCat(where,
                     " would not be made, because the API server does not reach the "
                     "webhook: ",
                     pod.status().message()),
        "see \"The webhook\" in docs/kubernetes.md: on private clusters it is most often a "
        "firewall between the API server and TCP 15017 of the nodes");
  }
  if (!pod.ok()) {
    return NoteCheck(kName, absl::StrCat(where, " could not be tried: ", pod.status().message()),
                     absl::IsPermissionDenied(pod.status())
                         ? "let somebody try who may create pods there; a quota or a policy may be "
                           "against it, too"
                         : "");
  }
  if (LabelOf(*pod, "byrnie.io/rev").empty()) {
    return BadCheck(
        kName, absl::StrCat(where, " would have no sidecar"),
        "the API server does not reach the webhook and its failurePolicy is Ignore, or it "
        "has another selector: see \"The webhook\" in docs/kubernetes.md");
  }
  return GoodCheck(kName,
                   absl::StrCat(where, " would have its sidecar: the API server reaches it"));
}

}  // namespace

bool IsMeshedNamespace(const Json& ns) { return LabelOf(ns, kInjectLabel) == "true"; }

std::vector<CheckResult> CheckCluster(const ClusterFacts& facts) {
  return {CheckServerVersion(facts),
          Permissions(facts),
          OtherMeshes(facts),
          NamespaceLabels(facts),
          CheckNodes(facts),
          PodSecurity(facts),
          PrivilegesPolicy(facts),
          PullSecrets(facts),
          NetworkPolicies(facts),
          ProbePorts(facts),
          ApiServersServices(facts),
          Storage(facts),
          Installation(facts),
          Webhook(facts),
          Settings(facts)};
}

}  // namespace byrnie
