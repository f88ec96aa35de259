#include "ctl/install/exposed_probes.h"

#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "controlplane/kubernetes/api_client.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_probes.h"

namespace byrnie {
namespace {

using Ports = std::set<uint16_t>;

constexpr char kProxy[] = "byrnie-proxy";
// Of a Service: those of one revision of its workload are alike.
constexpr int kPodsOfAService = 50;

// As what it brings strangers, who then come from the node's address; "" if it does not.
std::string BringsStrangersAs(const Json& service) {
  const Json* const spec = Find(service, "spec");
  if (spec == nullptr || TextOf(*spec, "externalTrafficPolicy") == "Local") return "";
  const std::string type = TextOf(*spec, "type");
  if (type == "NodePort" || type == "LoadBalancer") return type;
  return ItemsOf(*spec, "externalIPs").empty() ? "" : "externalIPs";
}

void AddPorts(absl::string_view list, Ports* ports) {
  for (const absl::string_view one : absl::StrSplit(list, ',')) {
    uint32_t port = 0;
    if (absl::SimpleAtoi(one, &port) && port <= 65535) ports->insert(static_cast<uint16_t>(port));
  }
}

// "app=web,tier=front"; "" for a Service whose endpoints somebody else writes.
std::string SelectorOf(const Json& service) {
  const Json* const selector = FindPath(service, {"spec", "selector"});
  std::vector<std::string> terms;
  if (selector == nullptr || !selector->is_object()) return "";
  for (const auto& term : selector->items()) {
    if (term.value().is_string()) {
      terms.push_back(absl::StrCat(term.key(), "=", term.value().get_ref<const std::string&>()));
    }
  }
  return absl::StrJoin(terms, ",");
}

template <typename Visit>
void ForEachContainer(const Json& pod, Visit visit) {
  const Json* const spec = Find(pod, "spec");
  if (spec == nullptr) return;
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(*spec, list)) visit(container);
  }
}

Ports DeclaredPorts(const Json& pod) {
  Ports ports;
  bool meshed = false;
  ForEachContainer(pod, [&](const Json& container) {
    if (TextOf(container, "name") != kProxy) return;
    meshed = true;
    for (const Json& arg : ItemsOf(container, "args")) {
      if (!arg.is_string()) continue;
      absl::string_view text = arg.get_ref<const std::string&>();
      if (absl::ConsumePrefix(&text, "--probe_ports=")) AddPorts(text, &ports);
    }
  });
  if (meshed) return ports;
  for (const char* const where : {"labels", "annotations"}) {
    const Json* const said = FindPath(pod, {"metadata", where, kInjectAnnotation});
    if (said != nullptr && *said == "false") return {};
  }
  // As the injector will have it.
  const Json* const more = FindPath(pod, {"metadata", "annotations", "byrnie.io/probe-ports"});
  if (more != nullptr && more->is_string()) {
    AddPorts(more->get_ref<const std::string&>(), &ports);
  }
  const Json* const probes = FindPath(pod, {"metadata", "annotations", "byrnie.io/probes"});
  if (probes != nullptr && *probes != "declare") return ports;
  const Json* const spec = Find(pod, "spec");
  if (spec != nullptr) ports.merge(FindKubeletPorts(*spec, {}).ports);
  return ports;
}

// Where a port of a Service leads in this pod.
absl::optional<uint16_t> TargetOf(const Json& service_port, const Json& pod) {
  const Json* target = Find(service_port, "targetPort");
  if (target == nullptr) target = Find(service_port, "port");
  absl::optional<uint16_t> found;
  ForEachContainer(pod, [&](const Json& container) {
    if (!found.has_value()) found = ResolvePort(container, target);
  });
  return found;
}

Ports ExposedPorts(const Json& service, const std::vector<Json>& pods) {
  Ports exposed;
  const Json* const spec = Find(service, "spec");
  for (const Json& pod : pods) {
    const Ports declared = DeclaredPorts(pod);
    for (const Json& port : ItemsOf(*spec, "ports")) {
      const std::string protocol = TextOf(port, "protocol");
      if (!protocol.empty() && protocol != "TCP") continue;
      const absl::optional<uint16_t> target = TargetOf(port, pod);
      if (target.has_value() && declared.count(*target) > 0) exposed.insert(*target);
    }
  }
  return exposed;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindExposedProbes(
    ClusterApi* cluster, const std::vector<std::string>& namespaces) {
  std::vector<std::string> found;
  for (const std::string& ns : namespaces) {
    const std::string root = absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/");
    ASSIGN_OR_RETURN(const std::vector<Json> services,
                     ListObjects(cluster, absl::StrCat(root, "services"), ""));
    for (const Json& service : services) {
      const std::string selector = SelectorOf(service), as = BringsStrangersAs(service);
      if (as.empty() || selector.empty()) continue;
      ASSIGN_OR_RETURN(const Json pods,
                       GetObject(cluster, absl::StrCat(root, "pods?limit=", kPodsOfAService,
                                                       "&labelSelector=", EncodeQuery(selector))));
      const Ports exposed = ExposedPorts(service, ItemsOf(pods, "items"));
      if (exposed.empty()) continue;
      found.push_back(absl::StrCat(ns, "/", ObjectNameOf(service), " (", as, ", ",
                                   absl::StrJoin(exposed, ", "), ")"));
    }
  }
  return found;
}

}  // namespace byrnie
