#include "ctl/install/install_settings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "ctl/install/manifests.h"
#include "deploy/injector/image_reference.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/pull_secrets.h"

namespace byrnie {
namespace {

constexpr absl::string_view kService = "byrnie-controlplane";
// Of the injector's configuration.
constexpr absl::string_view kPullSecretsMember = "image_pull_secrets";
constexpr absl::string_view kDefaultTrustDomain = "cluster.local";

absl::Status InFlag(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

// RFC 1123, as the API server has it for namespaces.
bool IsLabel(absl::string_view text) {
  const auto edge = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  return !text.empty() && text.size() <= 63 && edge(text.front()) && edge(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return edge(c) || c == '-'; });
}

// The members called "namespace" that have the manifests' namespace, wherever they are.
void MoveTo(const std::string& ns, Json* value) {
  if (value->is_array()) {
    for (Json& element : *value) MoveTo(ns, &element);
  }
  if (!value->is_object()) return;
  for (auto member = value->begin(); member != value->end(); ++member) {
    if (member.key() == "namespace" && *member == std::string(kDefaultNamespace)) {
      *member = ns;
    } else {
      MoveTo(ns, &*member);
    }
  }
}

std::string NameOf(const Json& object) {
  const Json* const metadata = Find(object, "metadata");
  return metadata == nullptr ? "" : TextOf(*metadata, "name");
}

// The control plane's arguments; null where the object makes none.
Json* ControlPlaneArguments(Json* object) {
  for (Json* container : ContainersOf(object)) {
    if (TextOf(*container, "name") != "controlplane") continue;
    Json* const arguments = Find(container, "args");
    return arguments != nullptr && arguments->is_array() ? arguments : nullptr;
  }
  return nullptr;
}

// The argument that begins with `--flag=`, with `change` made to its value. False: there is none.
template <typename Change>
bool ChangeArgument(Json* arguments, absl::string_view flag, Change change) {
  const std::string begin = absl::StrCat("--", flag, "=");
  for (Json& argument : *arguments) {
    if (!argument.is_string()) continue;
    absl::string_view value = argument.get_ref<const std::string&>();
    if (!absl::ConsumePrefix(&value, begin)) continue;
    argument = absl::StrCat(begin, change(value));
    return true;
  }
  return false;
}

// "etcd:SERVERS/PREFIX" with other servers, and a prefix that ends in the trust domain.
std::string EtcdStore(absl::string_view store, const InstallSettings& settings) {
  constexpr absl::string_view kKind = "etcd:";
  const size_t last_server = store.rfind("://");
  const size_t slash =
      last_server == absl::string_view::npos ? store.size() : store.find('/', last_server + 3);
  absl::string_view servers = store.substr(kKind.size(), slash - kKind.size());
  absl::string_view prefix = slash < store.size() ? store.substr(slash) : "";
  const std::string domain = absl::StrCat("/", kDefaultTrustDomain);
  const bool by_domain = absl::ConsumeSuffix(&prefix, domain);
  return absl::StrCat(kKind, settings.etcd.empty() ? servers : settings.etcd, prefix,
                      by_domain ? absl::StrCat("/", settings.trust_domain) : "");
}

absl::Status SetArguments(const InstallSettings& settings, Json* arguments) {
  if (!ChangeArgument(arguments, "trust_domain",
                      [&settings](absl::string_view) { return settings.trust_domain; })) {
    arguments->push_back(absl::StrCat("--trust_domain=", settings.trust_domain));
  }
  bool etcd = false;
  ChangeArgument(arguments, "store", [&](absl::string_view store) {
    etcd = absl::StartsWith(store, "etcd:");
    return etcd ? EtcdStore(store, settings) : std::string(store);
  });
  if (!settings.etcd.empty() && !etcd) {
    return InFlag("etcd", "is for --overlay=etcd, whose control planes keep their store there");
  }
  if (settings.ns != kDefaultNamespace) {
    const std::string name = absl::StrCat(kService, ".", settings.ns, ".svc");
    if (!ChangeArgument(arguments, "webhook_names", [&name](absl::string_view) { return name; })) {
      arguments->push_back(absl::StrCat("--webhook_names=", name));
    }
    // Policies about the whole mesh are those of its namespace.
    if (!ChangeArgument(arguments, "root_namespace",
                        [&settings](absl::string_view) { return settings.ns; })) {
      arguments->push_back(absl::StrCat("--root_namespace=", settings.ns));
    }
  }
  return absl::OkStatus();
}

// `flag` is where it comes from.
absl::Status CheckConfig(const std::string& text, absl::string_view flag) {
  const absl::StatusOr<InjectorConfig> config = InjectorConfig::Parse(text);
  if (!config.ok()) return config.status();
  RETURN_IF_ERROR(config->Check());
  if (config->trust_bundle_config_map == InjectorConfig().trust_bundle_config_map) {
    return absl::OkStatus();
  }
  return InFlag(flag, absl::StrCat("trust_bundle_config_map: \"", config->trust_bundle_config_map,
                                   "\" is not what the control plane writes the roots to, \"",
                                   InjectorConfig().trust_bundle_config_map, "\"; leave it out"));
}

absl::Status SetInjectorConfig(const InstallSettings& settings, Json* object) {
  Json* const data = ObjectIn(object, "data");
  // Nobody has said what is in it.
  const bool of_manifests = settings.injector_config.empty();
  const std::string text = of_manifests ? TextOf(*data, kInjectorKey) : settings.injector_config;
  const absl::string_view flag = of_manifests ? "manifests" : "injector_config";
  const absl::StatusOr<InjectorConfig> parsed = InjectorConfig::Parse(text);
  if (!parsed.ok()) return InFlag(flag, parsed.status().message());
  ASSIGN_OR_RETURN(Json config, ParseJson(text, kMaxInjectorConfig));
  const Json before = config;
  if (!settings.image.empty()) {
    config["image"] = settings.image;
  } else if (!settings.installed_image.empty() &&
             (of_manifests || Find(config, "image") == nullptr)) {
    config["image"] = settings.installed_image;
  }
  if (settings.pull_secrets_given || (of_manifests && !settings.image_pull_secrets.empty())) {
    Remove(&config, kPullSecretsMember);
    for (const std::string& name : settings.image_pull_secrets) {
      ArrayIn(&config, kPullSecretsMember)->push_back(name);
    }
  }
  if (!settings.revision.empty()) config["revision"] = settings.revision;
  // The webhook has it of its control plane; this is for byrniectl inject.
  if (settings.trust_domain != kDefaultTrustDomain && Find(config, "trust_domain") == nullptr) {
    config["trust_domain"] = settings.trust_domain;
  }
  if (settings.ns != kDefaultNamespace && Find(config, "control_plane") == nullptr) {
    config["control_plane"] = absl::StrCat(kService, ".", settings.ns, ".svc:15012");
  }
  if (!settings.sidecars.empty()) (*ObjectIn(&config, "defaults"))["sidecars"] = settings.sidecars;
  // As it is written, where nothing is another way.
  const std::string made = SameJson(before, config) ? text : absl::StrCat(ToText(config), "\n");
  RETURN_IF_ERROR(CheckConfig(made, flag));
  (*data)[std::string(kInjectorKey)] = made;
  return absl::OkStatus();
}

// In the place of what the manifests say, if they do.
void SetPullSecrets(const InstallSettings& settings, Json* object) {
  Json* const made = Find(ObjectIn(object, "spec"), "template");
  Json* const pod = made == nullptr ? nullptr : Find(made, "spec");
  if (pod == nullptr || !pod->is_object()) return;
  if (settings.pull_secrets_given) Remove(pod, kPullSecrets);
  for (const std::string& name : settings.image_pull_secrets) {
    Json secret = Json::object();
    secret["name"] = name;
    ArrayIn(pod, kPullSecrets)->push_back(std::move(secret));
  }
}

// Of the nodes that the control plane may run on, where the manifests choose them by it.
void SetArchitecture(const InstallSettings& settings, Json* object) {
  Json* const made = Find(ObjectIn(object, "spec"), "template");
  Json* const pod = made == nullptr ? nullptr : Find(made, "spec");
  Json* const selector = pod == nullptr ? nullptr : Find(pod, "nodeSelector");
  Json* const chosen = selector == nullptr ? nullptr : Find(selector, kArchitectureLabel);
  if (chosen != nullptr) *chosen = std::string(settings.ImageArchitecture());
}

absl::Status CheckImage(absl::string_view image) {
  if (image.empty()) return absl::OkStatus();
  const absl::Status good = CheckImageReference(image);
  return good.ok()
             ? good
             : InFlag("image", absl::StrCat("\"", image, "\" ", good.message(),
                                            "; write one like registry.example/byrnie:0.1.0"));
}

}  // namespace

absl::string_view OwnArchitecture() {
#if defined(__aarch64__)
  return "arm64";
#elif defined(__x86_64__)
  return "amd64";
#else
#error "Kubernetes' name of this architecture is to be added here"
#endif
}

absl::Status CheckInstallSettings(const InstallSettings& settings) {
  if (!IsLabel(settings.ns)) {
    return InFlag("namespace", absl::StrCat("\"", settings.ns, "\" is no namespace's name"));
  }
  if (settings.ns == "kube-system") {
    return InFlag("namespace",
                  "kube-system is never meshed, and a namespace of its own can be taken away");
  }
  if (!settings.architecture.empty() && !IsLabel(settings.architecture)) {
    return InFlag("architecture", absl::StrCat("\"", settings.architecture,
                                               "\" is no value of kubernetes.io/arch; write one "
                                               "like amd64 or arm64"));
  }
  const absl::Status trust_domain = SpiffeId::CheckTrustDomain(settings.trust_domain);
  if (!trust_domain.ok()) return InFlag("trust_domain", trust_domain.message());
  RETURN_IF_ERROR(CheckImage(settings.image));
  const absl::Status secrets = CheckPullSecrets(settings.image_pull_secrets);
  if (!secrets.ok()) return InFlag("image_pull_secret", secrets.message());
  RETURN_IF_ERROR(CheckControlPlaneSize(settings.size));
  if (settings.etcd.empty()) return absl::OkStatus();
  for (const absl::string_view server : absl::StrSplit(settings.etcd, ',')) {
    if (!absl::StartsWith(server, "https://") || server.find('/', 8) != absl::string_view::npos ||
        server.size() == 8) {
      return InFlag("etcd", absl::StrCat("\"", server, "\" is not https://HOST:PORT"));
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyInstallSettings(const InstallSettings& settings, std::vector<Json>* objects) {
  bool control_plane = false;
  const std::string& image = settings.image.empty() ? settings.installed_image : settings.image;
  for (Json& object : *objects) {
    if (settings.ns != kDefaultNamespace) {
      MoveTo(settings.ns, &object);
      if (TextOf(object, "kind") == "Namespace" && NameOf(object) == kDefaultNamespace) {
        (*ObjectIn(&object, "metadata"))["name"] = settings.ns;
      }
    }
    for (Json* container : ContainersOf(&object)) {
      if (!image.empty() && TextOf(*container, "name") == "controlplane") {
        (*container)["image"] = image;
      }
    }
    Json* const arguments = ControlPlaneArguments(&object);
    if (arguments != nullptr) {
      control_plane = true;
      RETURN_IF_ERROR(SetArguments(settings, arguments));
      SetPullSecrets(settings, &object);
      SetArchitecture(settings, &object);
      RETURN_IF_ERROR(SetControlPlaneSize(settings.size, &object));
    }
    if (IsInjectorConfig(object)) RETURN_IF_ERROR(SetInjectorConfig(settings, &object));
    LabelAsInstalled(&object);
  }
  if (!control_plane) {
    return absl::InvalidArgumentError("the manifests have no container \"controlplane\"");
  }
  std::stable_sort(objects->begin(), objects->end(),
                   [](const Json& a, const Json& b) { return InstallRank(a) < InstallRank(b); });
  return absl::OkStatus();
}

void ApplyServerVersion(int minor, std::vector<Json>* objects) {
  // Older servers refuse a field that they do not know.
  constexpr int kSickMayBeEvicted = 27;
  for (Json& object : *objects) {
    if (minor < kSickMayBeEvicted || TextOf(object, "kind") != "PodDisruptionBudget") continue;
    (*ObjectIn(&object, "spec"))["unhealthyPodEvictionPolicy"] = "AlwaysAllow";
  }
}

bool IsInjectorConfig(const Json& object) {
  return TextOf(object, "kind") == "ConfigMap" && NameOf(object) == kInjectorConfigMap;
}

std::string SidecarsImage(const InjectorConfig& config) {
  const auto by_default = config.defaults.find("image");
  return by_default == config.defaults.end() ? config.image : by_default->second;
}

std::string SidecarsImageIn(const Json& object) {
  const Json* const data = Find(object, "data");
  const absl::StatusOr<InjectorConfig> config =
      InjectorConfig::Parse(data == nullptr ? "" : TextOf(*data, kInjectorKey));
  return config.ok() ? SidecarsImage(*config) : "";
}

std::string SidecarsIn(absl::string_view injector_config) {
  const absl::StatusOr<InjectorConfig> config = InjectorConfig::Parse(injector_config);
  if (!config.ok()) return "";
  const auto found = config->defaults.find("sidecars");
  return found == config->defaults.end() ? "" : found->second;
}

std::string ForgetPreviousImageByHand(absl::string_view ns) {
  return absl::StrCat("kubectl -n ", ns, " patch configmap ", kInjectorConfigMap,
                      " --type=merge -p '{\"data\":{\"", kPreviousImageKey, "\":null}}'");
}

absl::Status CheckInstalledInjectorConfig(const std::string& text) {
  return CheckConfig(text, "injector_config");
}

void LabelAsInstalled(Json* object) {
  Json* const labels = ObjectIn(ObjectIn(object, "metadata"), "labels");
  (*labels)[std::string(kManagedByLabel)] = "byrniectl";
  (*labels)[std::string(kPartOfLabel)] = "byrnie";
}

int InstallRank(const Json& object) {
  const std::string kind = TextOf(object, "kind");
  if (kind == "Namespace") return 0;
  if (kind == "CustomResourceDefinition") return 1;
  if (kind == "StatefulSet" || kind == "Deployment" || kind == "DaemonSet") return 3;
  // From then on the API server asks about pods: somebody has to be there to answer.
  if (absl::EndsWith(kind, "WebhookConfiguration")) return 4;
  return 2;
}

}  // namespace byrnie
