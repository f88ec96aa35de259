#include "ctl/install/installed_settings.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "ctl/install/manifests.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/pull_secrets.h"

namespace byrnie {
namespace {

constexpr char kRoleBinding[] =
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/byrnie-controlplane";
constexpr absl::string_view kDefaultOverlay = "sqlite";
constexpr absl::string_view kConfigIsGone =
    "the injector's configuration, which is gone: but for image and image_pull_secrets, those of "
    "the control plane, it is this release's, without the revision, locked_annotations and "
    "defaults that it may have had; where it had some, give it with --injector_config";

// An object that may be missing: null then.
absl::StatusOr<Json> GetIfThere(ClusterApi* cluster, const std::string& path) {
  absl::StatusOr<Json> found = GetObject(cluster, path);
  if (absl::IsNotFound(found.status())) return Json();
  return found;
}

// "SERVERS" of "etcd:SERVERS/PREFIX".
std::string EtcdServers(absl::string_view store) {
  absl::ConsumePrefix(&store, "etcd:");
  const size_t last = store.rfind("://");
  const size_t slash =
      last == absl::string_view::npos ? absl::string_view::npos : store.find('/', last + 3);
  return std::string(store.substr(0, slash));
}

void ReadControlPlane(Json stateful_set, InstalledSettings* installed) {
  installed->size = ReadControlPlaneSize(stateful_set);
  const Json* const pod = FindPath(stateful_set, {"spec", "template", "spec"});
  if (pod != nullptr) {
    const Json* const selector = Find(*pod, "nodeSelector");
    if (selector != nullptr) installed->architecture = TextOf(*selector, kArchitectureLabel);
    for (const Json& secret : ItemsOf(*pod, kPullSecrets)) {
      installed->image_pull_secrets.push_back(TextOf(secret, "name"));
    }
  }
  for (Json* container : ContainersOf(&stateful_set)) {
    if (TextOf(*container, "name") != "controlplane") continue;
    installed->image = TextOf(*container, "image");
    for (const Json& argument : ItemsOf(*container, "args")) {
      if (!argument.is_string()) continue;
      absl::string_view value = argument.get_ref<const std::string&>();
      if (absl::ConsumePrefix(&value, "--trust_domain=")) {
        installed->trust_domain = std::string(value);
      } else if (absl::ConsumePrefix(&value, "--store=")) {
        if (absl::StartsWith(value, "sqlite:")) installed->overlay = "sqlite";
        if (!absl::StartsWith(value, "etcd:")) continue;
        installed->overlay = "etcd";
        installed->etcd = EtcdServers(value);
      }
    }
  }
}

std::string ImageIn(const std::string& injector_config) {
  const absl::StatusOr<Json> config = ParseJson(injector_config, kMaxInjectorConfig);
  return config.ok() ? TextOf(*config, "image") : "";
}

void Refuse(std::string what, std::string remedy, SettingsPlan* plan) {
  if (!plan->refused.ok()) return;
  plan->refused = absl::FailedPreconditionError(what);
  plan->remedy = std::move(remedy);
}

// "image a -> b", where another one was asked for.
void Change(absl::string_view what, const std::string& from, const std::string& to,
            SettingsPlan* plan) {
  if (!to.empty() && to != from) plan->changed.push_back(absl::StrCat(what, " ", from, " -> ", to));
}

void PlanTrustDomain(const AskedSettings& asked, const InstalledSettings& installed,
                     SettingsPlan* plan) {
  if (installed.trust_domain.empty()) return;
  if (asked.trust_domain_given && asked.settings.trust_domain != installed.trust_domain) {
    Refuse(absl::StrCat("what is installed has the trust domain ", installed.trust_domain,
                        ", and the CA in its store is that of no other"),
           "leave --trust_domain out, or begin anew without the CA that is there: byrniectl "
           "uninstall --purge",
           plan);
  }
  plan->settings.trust_domain = installed.trust_domain;
  plan->kept.push_back(absl::StrCat("trust domain ", installed.trust_domain));
}

void PlanStore(const AskedSettings& asked, const InstalledSettings& installed, SettingsPlan* plan) {
  plan->overlay = !asked.overlay.empty()       ? asked.overlay
                  : !installed.overlay.empty() ? installed.overlay
                                               : std::string(kDefaultOverlay);
  if (installed.overlay.empty()) return;
  if (!asked.own_manifests && plan->overlay != installed.overlay) {
    Refuse(absl::StrCat("what is installed keeps its store by --overlay=", installed.overlay,
                        ", and the CA is in there"),
           "leave --overlay out, or take this one away first: byrniectl uninstall; the other "
           "begins with a CA of its own",
           plan);
    return;
  }
  if (asked.overlay.empty()) plan->kept.push_back(absl::StrCat("overlay ", installed.overlay));
  if (plan->overlay != "etcd" || asked.own_manifests) return;
  if (asked.settings.etcd.empty()) {
    plan->settings.etcd = installed.etcd;
    plan->kept.push_back(absl::StrCat("etcd ", installed.etcd));
  }
  Change("etcd", installed.etcd, asked.settings.etcd, plan);
}

void PlanImage(const AskedSettings& asked, const InstalledSettings& installed, SettingsPlan* plan) {
  const std::string& image = asked.settings.image;
  if (installed.image.empty()) return;
  if (image.empty()) {
    plan->settings.installed_image = installed.image;
    plan->kept.push_back(absl::StrCat("image ", installed.image));
  }
  Change("image", installed.image, image, plan);
}

void PlanArchitecture(const AskedSettings& asked, const InstalledSettings& installed,
                      SettingsPlan* plan) {
  if (installed.architecture.empty()) return;
  const std::string& architecture = asked.settings.architecture;
  if (architecture.empty()) plan->settings.architecture = installed.architecture;
  if (architecture.empty() && installed.architecture != OwnArchitecture()) {
    plan->kept.push_back(absl::StrCat("architecture ", installed.architecture));
  }
  Change("architecture", installed.architecture, architecture, plan);
}

void PlanResources(const AskedSettings& asked, const InstalledSettings& installed,
                   SettingsPlan* plan) {
  static constexpr std::pair<const char*, std::string ControlPlaneSize::*> kResources[] = {
      {"memory limit", &ControlPlaneSize::memory_limit},
      {"memory request", &ControlPlaneSize::memory_request},
      {"CPU request", &ControlPlaneSize::cpu_request},
  };
  for (const auto& [what, member] : kResources) {
    const std::string &before = installed.size.*member, &after = asked.settings.size.*member;
    if (before.empty()) continue;
    if (after.empty()) {
      plan->settings.size.*member = before;
      plan->kept.push_back(absl::StrCat(what, " ", before));
    } else if (!SameQuantity(before, after)) {
      Change(what, before, after, plan);
    }
  }
}

void PlanVolume(const AskedSettings& asked, const InstalledSettings& installed,
                SettingsPlan* plan) {
  const ControlPlaneSize &before = installed.size, &after = asked.settings.size;
  if (before.volume_size.empty()) return;
  const bool other_size =
      !after.volume_size.empty() && !SameQuantity(before.volume_size, after.volume_size);
  const bool other_class =
      !after.storage_class.empty() && before.storage_class != after.storage_class;
  const std::string is = absl::StrCat(
      "volume ", before.volume_size,
      before.storage_class.empty() ? "" : absl::StrCat(" of the class ", before.storage_class));
  if (other_size || other_class) {
    Refuse(
        absl::StrCat("what is installed asks for a ", is,
                     ", and Kubernetes lets nobody change what a StatefulSet asks for"),
        "leave --volume_size and --storage_class out; \"How large\" in docs/kubernetes.md says how "
        "a volume grows",
        plan);
    return;
  }
  plan->settings.size.volume_size = before.volume_size;
  plan->settings.size.storage_class = before.storage_class;
  plan->kept.push_back(is);
}

void PlanPullSecrets(const AskedSettings& asked, const InstalledSettings& installed,
                     SettingsPlan* plan) {
  const std::string before = absl::StrJoin(installed.image_pull_secrets, ","),
                    after = absl::StrJoin(asked.settings.image_pull_secrets, ",");
  if (asked.settings.pull_secrets_given) {
    if (installed.image.empty() || before == after) return;
    plan->changed.push_back(absl::StrCat("image pull secrets ", before.empty() ? "none" : before,
                                         " -> ", after.empty() ? "none" : after));
    return;
  }
  plan->settings.image_pull_secrets = installed.image_pull_secrets;
  if (!before.empty()) plan->kept.push_back(absl::StrCat("image pull secrets ", before));
}

void PlanInjector(const AskedSettings& asked, const InstalledSettings& installed,
                  SettingsPlan* plan) {
  if (installed.injector_config.empty()) {
    // Somebody has deleted it, or does not apply it any more.
    if (!installed.image.empty() && asked.settings.injector_config.empty()) {
      plan->changed.emplace_back(kConfigIsGone);
    }
    return;
  }
  const absl::StatusOr<InjectorConfig> parsed = InjectorConfig::Parse(installed.injector_config);
  if (parsed.ok()) {
    const std::string said = SidecarsIn(installed.injector_config);
    plan->installed_sidecars = said.empty() ? "native" : said;
  }
  if (!asked.settings.injector_config.empty()) {
    const absl::StatusOr<Json> before = ParseJson(installed.injector_config, kMaxInjectorConfig),
                               after =
                                   ParseJson(asked.settings.injector_config, kMaxInjectorConfig);
    if (!before.ok() || !after.ok() || !SameJson(*before, *after)) {
      plan->changed.emplace_back("the injector's configuration");
    }
    return;
  }
  if (!parsed.ok()) {
    Refuse(absl::StrCat("the injector's configuration that is installed, in the ConfigMap "
                        "byrnie-injector, is not understood: ",
                        parsed.status().message()),
           "put it right, or give another one with --injector_config", plan);
    return;
  }
  plan->settings.injector_config = installed.injector_config;
  Change("revision", parsed->revision, asked.settings.revision, plan);
  Change("sidecars", plan->installed_sidecars, asked.settings.sidecars, plan);
  const std::string image = ImageIn(installed.injector_config);
  const bool apart = asked.settings.image.empty() && image != installed.image;
  plan->kept.push_back(
      absl::StrCat("the injector's configuration",
                   apart ? absl::StrCat(" with the sidecars' image ", image) : ""));
}

}  // namespace

absl::StatusOr<std::string> FindInstalledNamespace(ClusterApi* cluster) {
  ASSIGN_OR_RETURN(const Json binding, GetIfThere(cluster, kRoleBinding));
  for (const Json& subject : ItemsOf(binding, "subjects")) {
    if (!TextOf(subject, "namespace").empty()) return TextOf(subject, "namespace");
  }
  return std::string();
}

absl::StatusOr<InstalledSettings> FindInstalledSettings(ClusterApi* cluster,
                                                        const std::string& ns) {
  InstalledSettings installed;
  const std::string in = absl::StrCat("/namespaces/", EncodeQuery(ns), "/");
  ASSIGN_OR_RETURN(
      const Json stateful_set,
      GetIfThere(cluster, absl::StrCat("/apis/apps/v1", in, "statefulsets/byrnie-controlplane")));
  ReadControlPlane(stateful_set, &installed);
  ASSIGN_OR_RETURN(
      const Json config_map,
      GetIfThere(cluster, absl::StrCat("/api/v1", in, "configmaps/", kInjectorConfigMap)));
  const Json* const data = Find(config_map, "data");
  if (data != nullptr) installed.injector_config = TextOf(*data, kInjectorKey);
  if (!installed.trust_domain.empty()) return installed;
  ASSIGN_OR_RETURN(const Json key,
                   GetIfThere(cluster, absl::StrCat("/api/v1", in, "secrets/", kStoreKeySecret)));
  const Json* const annotations = FindPath(key, {"metadata", "annotations"});
  if (annotations != nullptr) installed.trust_domain = TextOf(*annotations, kTrustDomainAnnotation);
  return installed;
}

SettingsPlan PlanSettings(const AskedSettings& asked, const InstalledSettings& installed) {
  SettingsPlan plan;
  plan.settings = asked.settings;
  PlanTrustDomain(asked, installed, &plan);
  PlanStore(asked, installed, &plan);
  if (asked.own_manifests) return plan;
  PlanImage(asked, installed, &plan);
  PlanArchitecture(asked, installed, &plan);
  PlanResources(asked, installed, &plan);
  PlanVolume(asked, installed, &plan);
  PlanPullSecrets(asked, installed, &plan);
  PlanInjector(asked, installed, &plan);
  return plan;
}

}  // namespace byrnie
