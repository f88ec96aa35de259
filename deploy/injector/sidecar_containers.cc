#include "deploy/injector/sidecar_containers.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "deploy/injector/finish.h"
#include "deploy/injector/pod_probes.h"
#include "deploy/injector/probe_rewrite.h"
#include "deploy/injector/refusal.h"
#include "deploy/injector/sidecar_resources.h"
#include "deploy/redirect/redirect_options.h"

namespace byrnie {
namespace {

constexpr char kLinkDirectory[] = "/run/byrnie";
// In a directory that the agent makes for itself: a volume's own is open to every user.
constexpr char kLinkSocket[] = "/run/byrnie/link/agent.sock";
constexpr char kTokenDirectory[] = "/run/secrets/byrnie";
constexpr char kTrustDirectory[] = "/etc/byrnie";
// Where the API server mounts the application's token into every container that has nothing there.
constexpr char kApiTokenDirectory[] = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr char kAgentAdmin[] = "127.0.0.1:15010";
constexpr char kProxyStatus[] = "127.0.0.1:15021";
// Kubernetes' own default.
constexpr int64_t kGracePeriod = 30;
// Until the first certificate is there; the kubelet then starts the container again.
constexpr int kStartSeconds = 120;
// The kubelet's, to end the rest.
constexpr absl::Duration kGraceLeft = absl::Seconds(2);
constexpr absl::Duration kClassicHold = absl::Seconds(5);
// Of an application that is told to end with the proxy, between two of its last connections.
constexpr absl::Duration kClassicQuiet = absl::Seconds(5);

std::string Binary(absl::string_view name) { return absl::StrCat(kBinaryDirectory, "/", name); }

// From the downward API.
Json FieldItem(absl::string_view name, absl::string_view path) {
  Json item = Json::object();
  item["name"] = std::string(name);
  item["valueFrom"]["fieldRef"]["fieldPath"] = std::string(path);
  return item;
}

Json Mount(absl::string_view name, absl::string_view path, bool read_only) {
  Json mount = Json::object();
  mount["name"] = std::string(name);
  mount["mountPath"] = std::string(path);
  if (read_only) mount["readOnly"] = true;
  return mount;
}

// What may do to the application's pod whatever the application may is nothing for a sidecar.
Json NoApiToken() { return Mount(kNothingVolume, kApiTokenDirectory, true); }

Json Unprivileged() {
  Json context = Json::object();
  context["allowPrivilegeEscalation"] = false;
  context["capabilities"]["drop"] = Json::array({"ALL"});
  context["privileged"] = false;
  context["readOnlyRootFilesystem"] = true;
  context["runAsGroup"] = kSidecarUid;
  context["runAsNonRoot"] = true;
  context["runAsUser"] = kSidecarUid;
  context["seccompProfile"]["type"] = "RuntimeDefault";
  return context;
}

// Kubernetes gives a capability to root alone.
Json MayRedirect() {
  Json context = Unprivileged();
  context["capabilities"]["add"] = Json::array({"NET_ADMIN"});
  context["runAsGroup"] = 0;
  context["runAsNonRoot"] = false;
  context["runAsUser"] = 0;
  return context;
}

Json Command(std::vector<std::string> words) { return Json(std::move(words)); }

// In the container: until the page at `address` says ready, or with --gone nobody is there.
Json WaitCommand(absl::string_view address, absl::string_view more, int seconds = kStartSeconds) {
  std::vector<std::string> words = {Binary("byrniectl"), "ready",
                                    absl::StrCat("--admin=", address)};
  if (!more.empty()) words.emplace_back(more);
  words.push_back(absl::StrCat("--within=", seconds, "s"));
  return Command(std::move(words));
}

Json StatusPage(absl::string_view path) {
  Json get = Json::object();
  get["path"] = std::string(path);
  get["port"] = kStatusPort;
  return get;
}

Json TimedProbe(int period, int timeout, int failures) {
  Json probe = Json::object();
  probe["periodSeconds"] = period;
  probe["timeoutSeconds"] = timeout;
  probe["failureThreshold"] = failures;
  return probe;
}

// What the next container's start waits for. Each try waits for the page itself: an answer of no
// would cost a period at every start of a pod.
Json StartProbe(absl::string_view address, absl::string_view more) {
  constexpr int kTry = 4;
  Json probe = TimedProbe(1, kTry + 1, kStartSeconds / kTry);
  probe["exec"]["command"] = WaitCommand(address, more, kTry);
  return probe;
}

Json Port(absl::string_view name, int number) {
  Json port = Json::object();
  port["name"] = std::string(name);
  port["containerPort"] = number;
  port["protocol"] = "TCP";
  return port;
}

class Builder {
 public:
  Builder(const InjectorConfig& config, const PodSettings& settings, bool native,
          const SidecarResources& resources, const Json& app_probes, const KubeletPorts& probes)
      : config_(config),
        settings_(settings),
        native_(native),
        hold_(settings.GetOr("hold-application", "true") == "true"),
        resources_(resources),
        app_probes_(app_probes),
        probes_(probes) {}

  Json Agent() const {
    Json container = Begin(kAgentName, "byrnie-certagent");
    std::vector<std::string> args = {
        absl::StrCat("--control_plane=", config_.control_plane),
        absl::StrCat("--trust_domain=", config_.trust_domain),
        absl::StrCat("--trust_bundle=", kTrustDirectory, "/bundle.pem"),
        absl::StrCat("--token=", kTokenDirectory, "/token"),
        absl::StrCat("--token_audience=", config_.token_audience),
        absl::StrCat("--spiffe_id=spiffe://", config_.trust_domain,
                     "/ns/$(BYRNIE_NAMESPACE)/sa/$(BYRNIE_SERVICE_ACCOUNT)"),
        "--workload_addresses=$(BYRNIE_POD_ADDRESSES)",
        absl::StrCat("--cluster_id=", config_.cluster_id),
        absl::StrCat("--link_socket=", kLinkSocket),
        absl::StrCat("--admin=", kAgentAdmin),
    };
    if (!config_.network.empty()) args.push_back(absl::StrCat("--network=", config_.network));
    AddFlags(Sidecar::kAgent, &args);
    container["args"] = Command(std::move(args));
    container["env"] = Json::array({FieldItem("BYRNIE_NAMESPACE", "metadata.namespace"),
                                    FieldItem("BYRNIE_SERVICE_ACCOUNT", "spec.serviceAccountName"),
                                    FieldItem("BYRNIE_POD_ADDRESSES", "status.podIPs")});
    container["resources"] = resources_.Agent();
    container["securityContext"] = Unprivileged();
    container["volumeMounts"] = Json::array(
        {NoApiToken(), Mount(kLinkVolume, kLinkDirectory, false),
         Mount(kTokenVolume, kTokenDirectory, true), Mount(kTrustVolume, kTrustDirectory, true)});
    if (native_ && hold_) {
      container["startupProbe"] = StartProbe(kAgentAdmin, "");
    }
    if (!native_) {
      // Both end at the same time, but the proxy needs the agent until its own end.
      container["lifecycle"]["preStop"]["exec"]["command"] = WaitCommand(kProxyStatus, "--gone");
      AddPostStart(kAgentAdmin, &container);
    }
    return container;
  }

  Json Proxy() const {
    Json container = Begin(kProxyName, "byrnie-proxy");
    std::vector<std::string> args = {absl::StrCat("--link_socket=", kLinkSocket),
                                     "--admin=127.0.0.1:15000",
                                     absl::StrCat("--redirect_check_port=", kCheckPort)};
    AddFlags(Sidecar::kProxy, &args);
    if (!app_probes_.empty()) {
      args.push_back(absl::StrCat("--app_probes=", AppProbesText(app_probes_)));
    }
    const bool probes = !probes_.ports.empty();
    if (probes) {
      args.push_back(absl::StrCat("--probe_ports=", absl::StrJoin(probes_.ports, ",")));
      const std::string sources = settings_.GetOr("probe-sources", "");
      args.push_back(absl::StrCat("--probe_sources=gateways,$(BYRNIE_NODE_ADDRESSES)",
                                  sources.empty() ? "" : ",", sources));
    }
    container["args"] = Command(std::move(args));
    if (probes) {
      // Servers before 1.29 know one address of a node.
      container["env"] = Json::array(
          {FieldItem("BYRNIE_NODE_ADDRESSES", native_ ? "status.hostIPs" : "status.hostIP")});
    }
    container["ports"] = Json::array({Port("byrnie-hbone", 15008), Port("byrnie-metrics", 15020),
                                      Port("byrnie-status", kStatusPort)});
    container["resources"] = resources_.Proxy();
    container["securityContext"] = Unprivileged();
    container["volumeMounts"] =
        Json::array({NoApiToken(), Mount(kLinkVolume, kLinkDirectory, false)});
    if (native_ && hold_) {
      // The redirect comes after it.
      container["startupProbe"] = StartProbe(kProxyStatus, "--started");
    }
    Json ready = TimedProbe(1, 5, 5);
    ready["httpGet"] = StatusPage("/healthz/ready");
    container["readinessProbe"] = std::move(ready);
    if (!native_) AddPostStart(kProxyStatus, &container);
    return container;
  }

  Json Redirect() const {
    Json container = Begin(kRedirectName, "byrnie-redirect");
    container.erase("restartPolicy");
    std::vector<std::string> args = {"apply"};
    AddFlags(Sidecar::kRedirect, &args);
    container["args"] = Command(std::move(args));
    container["resources"] = resources_.Small();
    container["securityContext"] = MayRedirect();
    container["volumeMounts"] = Json::array({NoApiToken()});
    return container;
  }

  // Null where the pod does not ask for it.
  Json Watch() const {
    const std::string on_drift = settings_.GetOr("redirect-watch", "off");
    if (on_drift == "off") return nullptr;
    Json container = Begin(kWatchName, "byrnie-redirect");
    std::vector<std::string> args = {"watch", absl::StrCat("--on_drift=", on_drift)};
    AddFlags(Sidecar::kRedirect, &args);
    container["args"] = Command(std::move(args));
    container["resources"] = resources_.Small();
    container["securityContext"] = MayRedirect();
    container["volumeMounts"] = Json::array({NoApiToken()});
    return container;
  }

  Json Finish() const {
    Json container = Begin(kFinishName, "byrnie-finish");
    container.erase("restartPolicy");
    container["args"] = Command({"install", std::string(kFinishDirectory)});
    container["resources"] = resources_.Small();
    container["securityContext"] = Unprivileged();
    container["volumeMounts"] = Json::array({NoApiToken()});
    return container;
  }

  std::vector<Json> Volumes() const {
    Json link = Json::object(), token = Json::object(), trust = Json::object(),
         nothing = Json::object();
    link["name"] = std::string(kLinkVolume);
    link["emptyDir"]["medium"] = "Memory";
    link["emptyDir"]["sizeLimit"] = "1Mi";
    Json source = Json::object();
    source["serviceAccountToken"]["audience"] = config_.token_audience;
    source["serviceAccountToken"]["expirationSeconds"] = config_.token_seconds;
    source["serviceAccountToken"]["path"] = "token";
    token["name"] = std::string(kTokenVolume);
    token["projected"]["sources"] = Json::array({std::move(source)});
    // Not optional: without it a pod waits, and does not start without trust.
    trust["name"] = std::string(kTrustVolume);
    trust["configMap"]["name"] = config_.trust_bundle_config_map;
    nothing["name"] = std::string(kNothingVolume);
    nothing["emptyDir"]["medium"] = "Memory";
    nothing["emptyDir"]["sizeLimit"] = "1Mi";
    return {std::move(link), std::move(token), std::move(trust), std::move(nothing)};
  }

 private:
  Json Begin(absl::string_view name, absl::string_view binary) const {
    Json container = Json::object();
    container["name"] = std::string(name);
    container["image"] = settings_.GetOr("image", config_.image);
    const std::string policy = settings_.GetOr("image-pull-policy", "");
    if (!policy.empty()) container["imagePullPolicy"] = policy;
    if (native_) container["restartPolicy"] = "Always";
    // One that ends with an error says in one line what is wrong.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError";
    container["command"] = Command({Binary(binary)});
    return container;
  }

  void AddFlags(Sidecar sidecar, std::vector<std::string>* args) const {
    for (std::string& flag : settings_.FlagsFor(sidecar)) args->push_back(std::move(flag));
  }

  // Containers start one after the other: the kubelet waits for this before it starts the next.
  void AddPostStart(absl::string_view address, Json* container) const {
    if (hold_) (*container)["lifecycle"]["postStart"]["exec"]["command"] = WaitCommand(address, "");
  }

  const InjectorConfig& config_;
  const PodSettings& settings_;
  const bool native_, hold_;
  const SidecarResources& resources_;
  const Json& app_probes_;
  const KubeletPorts& probes_;
};

int64_t GracePeriodOf(const Json& spec) {
  const Json* const seconds = Find(spec, "terminationGracePeriodSeconds");
  if (seconds == nullptr || !seconds->is_number_integer()) return kGracePeriod;
  return std::min<int64_t>(std::max<int64_t>(seconds->get<int64_t>(), 0), 86400);
}

// A profile that is made for the application alone would stop ours, which inherit it.
void KeepFromAppsProfile(const Json& spec, SidecarContainers* sidecar) {
  const Json* const type = FindPath(spec, {"securityContext", "appArmorProfile", "type"});
  if (type == nullptr || *type != "Localhost") return;
  for (Json* container :
       {&sidecar->agent, &sidecar->proxy, &sidecar->redirect, &sidecar->watch, &sidecar->finish}) {
    if (container->is_null()) continue;
    (*container)["securityContext"]["appArmorProfile"]["type"] = "RuntimeDefault";
  }
}

// The proxy's end fits into the pod's.
absl::Status SetDrain(const Json& spec, bool native, PodSettings* settings,
                      std::vector<std::string>* warnings) {
  const absl::Duration grace = absl::Seconds(GracePeriodOf(spec));
  const absl::optional<absl::Duration> said = settings->GetDuration("drain-timeout");
  if (said.has_value() && *said > grace) {
    warnings->push_back(absl::StrCat(kAnnotationPrefix, "drain-timeout is longer than the pod's ",
                                     "terminationGracePeriodSeconds, ", absl::ToInt64Seconds(grace),
                                     ": raise that, or the kubelet ends the proxy first"));
  }
  const absl::Duration timeout = said.value_or(std::max(absl::Seconds(1), grace - kGraceLeft));
  settings->SetDefault("drain-timeout", absl::FormatDuration(timeout));
  for (const char* const part : {"drain-hold", "drain-quiet"}) {
    const absl::optional<absl::Duration> value = settings->GetDuration(part);
    if (value.has_value() && *value > timeout) {
      return absl::InvalidArgumentError(
          absl::StrCat("annotation ", kAnnotationPrefix, part, "=\"", *settings->Get(part),
                       "\": is longer than the proxy has, ", absl::FormatDuration(timeout),
                       "; raise the pod's terminationGracePeriodSeconds"));
    }
  }
  // A native sidecar is told to end when the application already has.
  if (!native) {
    settings->SetDefault("drain-hold", absl::FormatDuration(std::min(kClassicHold, timeout / 2)));
    settings->SetDefault("drain-quiet", absl::FormatDuration(std::min(kClassicQuiet, timeout / 2)));
  }
  return absl::OkStatus();
}

KubeletPorts ProbesOf(const PodSettings& settings, const Json& spec) {
  if (settings.GetOr("probes", "declare") == "off") return {};
  KubeletPorts probes = FindKubeletPorts(spec, SidecarNames());
  const std::string more = settings.GetOr("probe-ports", "");
  for (const absl::string_view port : absl::StrSplit(more, ',', absl::SkipEmpty())) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(port, &number)) continue;
    if (IsSidecarPort(static_cast<uint16_t>(number))) {
      probes.warnings.push_back(absl::StrCat(kAnnotationPrefix, "probe-ports: ", number,
                                             " is the sidecar's, and is not declared"));
    } else {
      probes.ports.insert(static_cast<uint16_t>(number));
    }
  }
  return probes;
}

// FNV-1a, which is the same in every process, as absl's is not.
uint64_t HashOf(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Of what we make of these settings, whatever else is in the pod.
std::string DigestOf(const InjectorConfig& config, const PodSettings& settings, bool native,
                     const SidecarResources& resources) {
  const Json no_app_probes = Json::object();
  const KubeletPorts no_probes;
  const Builder builder(config, settings, native, resources, no_app_probes, no_probes);
  std::string text;
  for (const Json& part :
       {builder.Agent(), builder.Proxy(), builder.Redirect(), builder.Watch(), builder.Finish()}) {
    absl::StrAppend(&text, ToText(part), "\n");
  }
  for (const Json& volume : builder.Volumes()) absl::StrAppend(&text, ToText(volume), "\n");
  return absl::StrCat(absl::Hex(HashOf(text), absl::kZeroPad16));
}

}  // namespace

std::set<std::string> SidecarNames() {
  return {std::string(kAgentName), std::string(kProxyName), std::string(kRedirectName),
          std::string(kWatchName), std::string(kFinishName)};
}

std::set<std::string> SidecarVolumes() {
  return {std::string(kLinkVolume), std::string(kTokenVolume), std::string(kTrustVolume),
          std::string(kNothingVolume), std::string(kFinishName)};
}

absl::StatusOr<SidecarContainers> SidecarContainers::Create(const InjectorConfig& config,
                                                            PodSettings settings,
                                                            const Json& app_probes,
                                                            const Json& spec) {
  SidecarContainers result;
  result.native = settings.GetOr("sidecars", "native") == "native";
  result.warnings = settings.warnings();
  const SidecarResources resources(&settings, spec, SidecarNames());
  const std::string growth = resources.GrowthWarning();
  if (!growth.empty()) result.warnings.push_back(growth);
  const std::string burstable = resources.Warning();
  if (!burstable.empty()) result.warnings.push_back(burstable);
  result.digest = DigestOf(config, settings, result.native, resources);
  RETURN_IF_ERROR(SetDrain(spec, result.native, &settings, &result.warnings));
  const KubeletPorts probes = ProbesOf(settings, spec);
  result.warnings.insert(result.warnings.end(), probes.warnings.begin(), probes.warnings.end());
  const Builder builder(config, settings, result.native, resources, app_probes, probes);
  result.agent = builder.Agent();
  result.proxy = builder.Proxy();
  result.redirect = builder.Redirect();
  result.watch = builder.Watch();
  if (!result.native && EndsByItself(spec)) result.finish = builder.Finish();
  result.volumes = builder.Volumes();
  KeepFromAppsProfile(spec, &result);
  return result;
}

}  // namespace byrnie
