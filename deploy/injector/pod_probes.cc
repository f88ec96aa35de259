#include "deploy/injector/pod_probes.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

absl::optional<uint16_t> PortNumber(const Json* value) {
  if (value == nullptr || !value->is_number_integer()) return absl::nullopt;
  const int64_t number = value->get<int64_t>();
  if (number < 1 || number > 65535) return absl::nullopt;
  return static_cast<uint16_t>(number);
}

void AddHandler(const Json& container, absl::string_view what, const Json& handler,
                KubeletPorts* found) {
  for (const char* const kind : {"httpGet", "tcpSocket", "grpc"}) {
    const Json* const action = Find(handler, kind);
    if (action == nullptr || !action->is_object()) continue;
    // Goes to that host from the node, not to this pod.
    if (!TextOf(*action, "host").empty()) continue;
    const absl::optional<uint16_t> port = ResolvePort(container, Find(*action, "port"));
    if (port.has_value()) {
      found->ports.insert(*port);
    } else {
      found->warnings.push_back(absl::StrCat("container ", Shortened(TextOf(container, "name")),
                                             ": the ", what, "'s port is not one of its ports"));
    }
  }
}

void AddContainer(const Json& container, KubeletPorts* found) {
  for (const char* const probe : {"startupProbe", "livenessProbe", "readinessProbe"}) {
    const Json* const handler = Find(container, probe);
    if (handler != nullptr) AddHandler(container, probe, *handler, found);
  }
  for (const char* const hook : {"postStart", "preStop"}) {
    const Json* const handler = FindPath(container, {"lifecycle", hook});
    if (handler != nullptr) AddHandler(container, hook, *handler, found);
  }
}

}  // namespace

bool IsSidecarPort(uint16_t port) {
  for (const uint16_t own : {15000, 15001, 15006, 15008, 15010, 15020, 15022}) {
    if (port == own) return true;
  }
  return port == kStatusPort;
}

absl::optional<uint16_t> ResolvePort(const Json& container, const Json* port) {
  if (port == nullptr) return absl::nullopt;
  if (!port->is_string()) return PortNumber(port);
  const std::string& name = port->get_ref<const std::string&>();
  for (const Json& declared : ItemsOf(container, "ports")) {
    if (TextOf(declared, "name") == name) return PortNumber(Find(declared, "containerPort"));
  }
  uint32_t number = 0;
  if (!absl::SimpleAtoi(name, &number) || number < 1 || number > 65535) return absl::nullopt;
  return static_cast<uint16_t>(number);
}

KubeletPorts FindKubeletPorts(const Json& spec, const std::set<std::string>& ours) {
  KubeletPorts found;
  // Init containers have probes where they are sidecars.
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      if (ours.count(TextOf(container, "name")) == 0) AddContainer(container, &found);
    }
  }
  found.ports.erase(kStatusPort);
  return found;
}

}  // namespace byrnie
