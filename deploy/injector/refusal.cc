#include "deploy/injector/refusal.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/pod_probes.h"

namespace byrnie {
namespace {

// The second is what kubelets say besides, and older manifests ask for.
constexpr const char* kOs[] = {"kubernetes.io/os", "beta.kubernetes.io/os"};
constexpr char kMirror[] = "kubernetes.io/config.mirror";

// Of the label or of the annotation; the one that says no wins.
absl::StatusOr<bool> OptedOut(const Json& pod) {
  bool opted_out = false;
  for (const auto& [member, kind] :
       {std::make_pair("labels", "label"), std::make_pair("annotations", "annotation")}) {
    const Json* const said = FindPath(pod, {"metadata", member, kInjectAnnotation});
    if (said == nullptr) continue;
    if (*said != "true" && *said != "false") {
      return absl::InvalidArgumentError(absl::StrCat(kind, " ", kInjectAnnotation, "=",
                                                     Shortened(ToText(*said)),
                                                     ": write \"true\" or \"false\", in quotes"));
    }
    opted_out = opted_out || *said == "false";
  }
  return opted_out;
}

bool IsUser(const Json& object, int uid) {
  const Json* const user = FindPath(object, {"securityContext", "runAsUser"});
  return user != nullptr && user->is_number_integer() && *user == uid;
}

bool SaysUser(const Json& container) {
  return FindPath(container, {"securityContext", "runAsUser"}) != nullptr;
}

std::string OtherMesh(const Json& pod) {
  const std::pair<const char*, const char*> kMarks[] = {
      {"sidecar.istio.io/status", "Istio"},
      {"linkerd.io/proxy-version", "Linkerd"},
      {"consul.hashicorp.com/connect-inject-status", "Consul"},
      {"kuma.io/sidecar-injected", "Kuma"}};
  for (const auto& [annotation, mesh] : kMarks) {
    if (FindPath(pod, {"metadata", "annotations", annotation}) != nullptr) return mesh;
  }
  const std::pair<absl::string_view, const char*> kContainers[] = {
      {"istio-proxy", "Istio"},       {"istio-init", "Istio"},
      {"istio-validation", "Istio"},  {"linkerd-proxy", "Linkerd"},
      {"linkerd-init", "Linkerd"},    {"linkerd-network-validator", "Linkerd"},
      {"consul-dataplane", "Consul"}, {"consul-connect-inject-init", "Consul"},
      {"kuma-sidecar", "Kuma"},       {"kuma-init", "Kuma"},
      {"kuma-validation", "Kuma"},    {"osm-init", "Open Service Mesh"}};
  for (const char* const list : {"initContainers", "containers"}) {
    const Json* const spec = Find(pod, "spec");
    if (spec == nullptr) continue;
    for (const Json& container : ItemsOf(*spec, list)) {
      const std::string name = TextOf(container, "name");
      for (const auto& [known, mesh] : kContainers) {
        if (name == known) return mesh;
      }
    }
  }
  return "";
}

// Whether the node's proxy of Istio takes over the pod's connections, or has already.
bool IsAmbient(const Json& pod) {
  const Json* const mode = FindPath(pod, {"metadata", "labels", "istio.io/dataplane-mode"});
  const Json* const taken =
      FindPath(pod, {"metadata", "annotations", "ambient.istio.io/redirection"});
  return (mode != nullptr && *mode == "ambient") || (taken != nullptr && *taken == "enabled");
}

// Why one of the application's containers cannot be beside the sidecar; "" for no reason.
std::string Conflict(const Json& spec, const Json& container, const std::set<std::string>& ours) {
  const std::string name = Shortened(TextOf(container, "name"));
  if (ours.count(name) > 0) {
    return absl::StrCat("its container ", name, " has the name of one of Byrnie's: rename it");
  }
  if (IsUser(container, kSidecarUid) || (!SaysUser(container) && IsUser(spec, kSidecarUid))) {
    return absl::StrCat("container ", name, " runs as user ", kSidecarUid,
                        ", whose traffic is not redirected: run it as another user");
  }
  for (const Json& port : ItemsOf(container, "ports")) {
    const std::string protocol = TextOf(port, "protocol");
    if (!protocol.empty() && protocol != "TCP") continue;
    const Json* const number = Find(port, "containerPort");
    if (number == nullptr || !number->is_number_integer()) continue;
    const int64_t port_number = number->get<int64_t>();
    if (port_number > 0 && port_number <= 65535 &&
        IsSidecarPort(static_cast<uint16_t>(port_number))) {
      return absl::StrCat("container ", name, " has port ", ToText(*number),
                          ", which is the sidecar's: give it another one");
    }
  }
  return "";
}

bool IsHostProcess(const Json& object) {
  const Json* const options = FindPath(object, {"securityContext", "windowsOptions"});
  return options != nullptr && IsTrue(*options, "hostProcess");
}

bool IsOs(absl::string_view label) {
  return std::find(std::begin(kOs), std::end(kOs), label) != std::end(kOs);
}

// Whether a term of a node affinity asks for Windows and nothing else.
bool IsForWindows(const Json& term) {
  for (const Json& expression : ItemsOf(term, "matchExpressions")) {
    if (!IsOs(TextOf(expression, "key")) || TextOf(expression, "operator") != "In") continue;
    const Json::array_t& values = ItemsOf(expression, "values");
    if (!values.empty() && std::all_of(values.begin(), values.end(),
                                       [](const Json& value) { return value == "windows"; })) {
      return true;
    }
  }
  return false;
}

bool RunsOnWindows(const Json& spec) {
  for (const char* const label : kOs) {
    const Json* const os = FindPath(spec, {"nodeSelector", label});
    if (os != nullptr && *os == "windows") return true;
  }
  const Json* const named = FindPath(spec, {"os", "name"});
  if (named != nullptr && *named == "windows") return true;
  if (IsHostProcess(spec)) return true;
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      if (IsHostProcess(container)) return true;
    }
  }
  const Json* const required = FindPath(
      spec, {"affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"});
  if (required == nullptr) return false;
  // One of the terms is enough for a node.
  const Json::array_t& terms = ItemsOf(*required, "nodeSelectorTerms");
  return !terms.empty() && std::all_of(terms.begin(), terms.end(), IsForWindows);
}

std::string CannotBeMeshed(const Json& spec, const std::set<std::string>& ours,
                           const std::set<std::string>& our_volumes) {
  if (IsTrue(spec, "hostNetwork")) {
    return "it has hostNetwork: the node's traffic cannot be redirected for one pod";
  }
  if (RunsOnWindows(spec)) return "it runs on Windows";
  if (ItemsOf(spec, "containers").empty()) return "it has no containers";
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      std::string conflict = Conflict(spec, container, ours);
      if (!conflict.empty()) return conflict;
    }
  }
  for (const Json& volume : ItemsOf(spec, "volumes")) {
    const std::string name = TextOf(volume, "name");
    if (our_volumes.count(name) > 0) {
      return absl::StrCat("its volume ", name, " has the name of one of Byrnie's: rename it");
    }
  }
  for (const uint16_t port : FindKubeletPorts(spec, ours).ports) {
    if (!IsSidecarPort(port)) continue;
    return absl::StrCat("a probe or hook of it is for port ", port,
                        ", which is the sidecar's: give it another one");
  }
  return "";
}

// How pods ask for the sidecar of another mesh. An empty value is any.
constexpr struct {
  const char *map, *name, *value, *mesh;
} kRequests[] = {
    {"annotations", "linkerd.io/inject", "enabled", "Linkerd"},
    {"annotations", "linkerd.io/inject", "ingress", "Linkerd"},
    {"labels", "sidecar.istio.io/inject", "true", "Istio"},
    {"annotations", "sidecar.istio.io/inject", "true", "Istio"},
    {"labels", "istio.io/rev", "", "Istio"},
    {"labels", "kuma.io/sidecar-injection", "enabled", "Kuma"},
    {"annotations", "kuma.io/sidecar-injection", "enabled", "Kuma"},
    {"annotations", "consul.hashicorp.com/connect-inject", "true", "Consul"},
    {"annotations", "openservicemesh.io/sidecar-injection", "enabled", "Open Service Mesh"}};

}  // namespace

std::string AsksAnotherMesh(const Json& pod) {
  for (const auto& [map, name, value, mesh] : kRequests) {
    const Json* const said = FindPath(pod, {"metadata", map, name});
    if (said == nullptr || !said->is_string() || (value[0] != '\0' && *said != value)) continue;
    // Whom Istio leaves out whatever else is said.
    const Json* const no = FindPath(pod, {"metadata", "labels", "sidecar.istio.io/inject"});
    if (value[0] == '\0' && no != nullptr && *no == "false") continue;
    return absl::StrCat("it asks for a sidecar of ", mesh, ", too, by ", name, ": ",
                        Shortened(ToText(*said)), ": take that out of the pod template; where ",
                        mesh, " gives it one, Byrnie's is taken out again");
  }
  return "";
}

std::string HostPortWarning(const Json& spec) {
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      for (const Json& port : ItemsOf(container, "ports")) {
        const Json* const number = Find(port, "hostPort");
        if (number == nullptr || !number->is_number_integer() || *number == 0) continue;
        return absl::StrCat("container ", Shortened(TextOf(container, "name")), " has hostPort ",
                            ToText(*number),
                            ": whoever comes by the node has no identity, and a strict pod refuses "
                            "it, unless the port is declared for probes and the node translates "
                            "the address: then everybody gets in");
      }
    }
  }
  return "";
}

absl::StatusOr<Refusal> JudgePod(const Json& pod, const std::set<std::string>& ours,
                                 const std::set<std::string>& our_volumes) {
  ASSIGN_OR_RETURN(const bool opted_out, OptedOut(pod));
  if (opted_out) {
    return Refusal{Refusal::Kind::kOptedOut, absl::StrCat(kInjectAnnotation, " is \"false\"")};
  }
  if (FindPath(pod, {"metadata", "annotations", kMirror}) != nullptr) {
    return Refusal{Refusal::Kind::kCannot,
                   "it is the mirror of a static pod, which its node has made already"};
  }
  const std::string mesh = OtherMesh(pod);
  if (!mesh.empty()) {
    return Refusal{Refusal::Kind::kCannot,
                   absl::StrCat("it has a sidecar of ", mesh, ": take that out first")};
  }
  if (IsAmbient(pod)) {
    return Refusal{
        Refusal::Kind::kCannot,
        "it is in Istio's ambient mesh, whose redirect would be beside Byrnie's: give it "
        "the label istio.io/dataplane-mode: none"};
  }
  const Json* const spec = Find(pod, "spec");
  std::string why = spec == nullptr || !spec->is_object()
                        ? "it has no spec"
                        : CannotBeMeshed(*spec, ours, our_volumes);
  if (!why.empty()) return Refusal{Refusal::Kind::kCannot, std::move(why)};
  return Refusal();
}

}  // namespace byrnie
