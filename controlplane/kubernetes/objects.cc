#include "controlplane/kubernetes/objects.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr absl::string_view kOurPrefixes[] = {"byrnie.io/", "topology.istio.io/"};
constexpr absl::string_view kStatusAnnotation = "byrnie.io/status";
constexpr absl::string_view kProxyContainer = "byrnie-proxy";
// What the injector has it run.
constexpr absl::string_view kProxyCommand = "/usr/local/bin/byrnie-proxy";
constexpr absl::string_view kPodAnnotations[] = {"byrnie.io/capacity", "byrnie.io/inject",
                                                 "byrnie.io/not-injected",
                                                 "ambient.istio.io/redirection"};
constexpr absl::string_view kTopologyPrefixes[] = {
    "topology.kubernetes.io/", "failure-domain.beta.kubernetes.io/", "topology.byrnie.io/"};

bool HasPrefixOf(const std::string& key, const absl::string_view* begin,
                 const absl::string_view* end) {
  return std::any_of(begin, end,
                     [&key](absl::string_view prefix) { return absl::StartsWith(key, prefix); });
}
bool IsOurs(const std::string& key) {
  return HasPrefixOf(key, std::begin(kOurPrefixes), std::end(kOurPrefixes));
}
bool IsTopology(const std::string& key) {
  return HasPrefixOf(key, std::begin(kTopologyPrefixes), std::end(kTopologyPrefixes));
}

// What is absent and what is null are the same to Kubernetes.
absl::optional<JsonValue> FindValue(const JsonObject& object, absl::string_view name) {
  absl::optional<JsonValue> value = object.Find(name);
  if (value.has_value() && value->is_null()) return absl::nullopt;
  return value;
}

absl::StatusOr<absl::optional<JsonObject>> FindObject(const JsonObject& object,
                                                      absl::string_view name) {
  const absl::optional<JsonValue> value = FindValue(object, name);
  if (!value.has_value()) return absl::optional<JsonObject>();
  ASSIGN_OR_RETURN(JsonObject found, value->AsObject());
  return absl::optional<JsonObject>(std::move(found));
}

absl::StatusOr<std::string> TextOrEmpty(const JsonObject& object, absl::string_view name) {
  const absl::optional<JsonValue> value = FindValue(object, name);
  return value.has_value() ? value->AsString() : std::string();
}

absl::StatusOr<bool> BoolOr(const JsonObject& object, absl::string_view name, bool missing) {
  const absl::optional<JsonValue> value = FindValue(object, name);
  return value.has_value() ? value->AsBool() : missing;
}

absl::StatusOr<std::vector<JsonValue>> ListOrEmpty(const JsonObject& object,
                                                   absl::string_view name) {
  const absl::optional<JsonValue> value = FindValue(object, name);
  return value.has_value() ? value->AsArray() : std::vector<JsonValue>();
}

template <typename Keep>
absl::StatusOr<Labels> ReadLabels(const JsonObject& metadata, absl::string_view name, Keep keep) {
  Labels labels;
  ASSIGN_OR_RETURN(absl::optional<JsonObject> object, FindObject(metadata, name));
  if (!object.has_value()) return labels;
  for (const auto& [key, value] : object->Members()) {
    if (!keep(key)) continue;
    ASSIGN_OR_RETURN(labels[key], value.AsString());
  }
  return labels;
}

struct Top {
  JsonObject object;
  JsonObject metadata;
  ObjectName name;
};

absl::StatusOr<Top> ReadTop(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(JsonObject metadata, object.GetObject("metadata"));
  ObjectName name;
  ASSIGN_OR_RETURN(name.ns, TextOrEmpty(metadata, "namespace"));
  ASSIGN_OR_RETURN(name.name, metadata.GetString("name"));
  if (name.name.empty()) return metadata.value().Error("\"name\" is empty");
  return Top{std::move(object), std::move(metadata), std::move(name)};
}

absl::StatusOr<IpAddress> ReadIp(const JsonValue& value) {
  ASSIGN_OR_RETURN(std::string text, value.AsString());
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(text);
  if (!ip.ok()) return value.Error(ip.status().message());
  return ip;
}

// TCP is what a port is of that does not say.
absl::StatusOr<bool> IsTcp(const JsonObject& port) {
  ASSIGN_OR_RETURN(std::string protocol, TextOrEmpty(port, "protocol"));
  return protocol.empty() || protocol == "TCP";
}

absl::StatusOr<std::vector<ServicePort>> ReadPorts(const JsonObject& object) {
  std::vector<ServicePort> ports;
  ASSIGN_OR_RETURN(std::vector<JsonValue> list, ListOrEmpty(object, "ports"));
  for (const JsonValue& value : list) {
    ASSIGN_OR_RETURN(JsonObject port, value.AsObject());
    ASSIGN_OR_RETURN(bool tcp, IsTcp(port));
    // A slice's port without a number is any port: nothing that a connection could be for.
    if (!tcp || !FindValue(port, "port").has_value()) continue;
    ServicePort read;
    ASSIGN_OR_RETURN(read.name, TextOrEmpty(port, "name"));
    ASSIGN_OR_RETURN(int64_t number, port.GetInt("port", 1, 65535));
    read.port = static_cast<uint32_t>(number);
    ports.push_back(std::move(read));
  }
  return ports;
}

absl::Status ReadOwner(const JsonObject& metadata, Pod* pod) {
  ASSIGN_OR_RETURN(std::vector<JsonValue> owners, ListOrEmpty(metadata, "ownerReferences"));
  for (const JsonValue& value : owners) {
    ASSIGN_OR_RETURN(JsonObject owner, value.AsObject());
    ASSIGN_OR_RETURN(bool controls, BoolOr(owner, "controller", false));
    if (!controls) continue;
    ASSIGN_OR_RETURN(pod->owner_kind, TextOrEmpty(owner, "kind"));
    ASSIGN_OR_RETURN(pod->owner_name, TextOrEmpty(owner, "name"));
  }
  return absl::OkStatus();
}

// Those of a list of {"ip": ...}, or the only one, as older servers have it.
absl::StatusOr<std::vector<IpAddress>> ReadIps(const JsonObject& status, absl::string_view list,
                                               absl::string_view single) {
  std::vector<IpAddress> ips;
  ASSIGN_OR_RETURN(std::vector<JsonValue> entries, ListOrEmpty(status, list));
  for (const JsonValue& value : entries) {
    ASSIGN_OR_RETURN(JsonObject entry, value.AsObject());
    ASSIGN_OR_RETURN(JsonValue text, entry.Get("ip"));
    ASSIGN_OR_RETURN(IpAddress ip, ReadIp(text));
    ips.push_back(ip);
  }
  const absl::optional<JsonValue> only = FindValue(status, single);
  if (ips.empty() && only.has_value()) {
    ASSIGN_OR_RETURN(IpAddress ip, ReadIp(*only));
    ips.push_back(ip);
  }
  return ips;
}

absl::Status ReadPodStatus(const JsonObject& status, Pod* pod) {
  ASSIGN_OR_RETURN(std::string phase, TextOrEmpty(status, "phase"));
  pod->finished = phase == "Succeeded" || phase == "Failed";
  ASSIGN_OR_RETURN(pod->ips, ReadIps(status, "podIPs", "podIP"));
  ASSIGN_OR_RETURN(pod->host_ips, ReadIps(status, "hostIPs", "hostIP"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> conditions, ListOrEmpty(status, "conditions"));
  for (const JsonValue& value : conditions) {
    ASSIGN_OR_RETURN(JsonObject condition, value.AsObject());
    ASSIGN_OR_RETURN(std::string type, TextOrEmpty(condition, "type"));
    if (type != "Ready") continue;
    ASSIGN_OR_RETURN(std::string is, TextOrEmpty(condition, "status"));
    pod->ready = is == "True";
  }
  return absl::OkStatus();
}

absl::StatusOr<SliceEndpoint> ReadEndpoint(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  SliceEndpoint endpoint;
  ASSIGN_OR_RETURN(std::vector<JsonValue> addresses, ListOrEmpty(object, "addresses"));
  for (const JsonValue& address : addresses) {
    ASSIGN_OR_RETURN(IpAddress ip, ReadIp(address));
    endpoint.ips.push_back(ip);
  }
  // "A nil value should be interpreted as ready" (the API's own words).
  endpoint.ready = true;
  ASSIGN_OR_RETURN(absl::optional<JsonObject> conditions, FindObject(object, "conditions"));
  if (conditions.has_value()) {
    ASSIGN_OR_RETURN(endpoint.ready, BoolOr(*conditions, "ready", true));
  }
  ASSIGN_OR_RETURN(absl::optional<JsonObject> target, FindObject(object, "targetRef"));
  if (target.has_value()) {
    ASSIGN_OR_RETURN(std::string kind, TextOrEmpty(*target, "kind"));
    if (kind == "Pod") {
      ASSIGN_OR_RETURN(endpoint.pod_uid, TextOrEmpty(*target, "uid"));
    }
  }
  ASSIGN_OR_RETURN(endpoint.node, TextOrEmpty(object, "nodeName"));
  if (endpoint.node.empty()) {  // v1beta1.
    ASSIGN_OR_RETURN(absl::optional<JsonObject> topology, FindObject(object, "topology"));
    if (topology.has_value()) {
      ASSIGN_OR_RETURN(endpoint.node, TextOrEmpty(*topology, "kubernetes.io/hostname"));
    }
  }
  return endpoint;
}

// The annotation alone may have been copied from another pod, or made up, as may the name.
absl::StatusOr<bool> IsProxy(const JsonObject& container) {
  ASSIGN_OR_RETURN(const std::string name, TextOrEmpty(container, "name"));
  if (name != kProxyContainer) return false;
  ASSIGN_OR_RETURN(const std::vector<JsonValue> command, ListOrEmpty(container, "command"));
  if (command.empty()) return false;
  ASSIGN_OR_RETURN(const std::string program, command.front().AsString());
  return program == kProxyCommand;
}

absl::StatusOr<bool> HasProxy(const JsonObject& spec) {
  // Native sidecars are among the first.
  for (const char* const list : {"initContainers", "containers"}) {
    ASSIGN_OR_RETURN(const std::vector<JsonValue> containers, ListOrEmpty(spec, list));
    for (const JsonValue& container : containers) {
      ASSIGN_OR_RETURN(const JsonObject object, container.AsObject());
      ASSIGN_OR_RETURN(const bool is_proxy, IsProxy(object));
      if (is_proxy) return true;
    }
  }
  return false;
}

}  // namespace

bool operator==(const Pod& a, const Pod& b) {
  const auto key = [](const Pod& p) {
    return std::tie(p.name, p.uid, p.service_account, p.node, p.ips, p.host_ips, p.host_network,
                    p.finished, p.ready, p.terminating, p.created, p.labels, p.injected,
                    p.annotations, p.owner_kind, p.owner_name);
  };
  return key(a) == key(b);
}

absl::StatusOr<Pod> ParsePod(const JsonValue& value) {
  ASSIGN_OR_RETURN(Top top, ReadTop(value));
  Pod pod;
  pod.name = std::move(top.name);
  ASSIGN_OR_RETURN(pod.uid, top.metadata.GetString("uid"));
  ASSIGN_OR_RETURN(std::string created, TextOrEmpty(top.metadata, "creationTimestamp"));
  if (!created.empty() && !absl::ParseTime(absl::RFC3339_full, created, &pod.created, nullptr)) {
    return top.metadata.value().Error("\"creationTimestamp\" is no time");
  }
  pod.terminating = FindValue(top.metadata, "deletionTimestamp").has_value();
  ASSIGN_OR_RETURN(pod.labels,
                   ReadLabels(top.metadata, "labels", [](const std::string&) { return true; }));
  ASSIGN_OR_RETURN(
      pod.annotations, ReadLabels(top.metadata, "annotations", [](const std::string& key) {
        return std::find(std::begin(kPodAnnotations), std::end(kPodAnnotations), key) !=
               std::end(kPodAnnotations);
      }));
  ASSIGN_OR_RETURN(Labels status_of_injector,
                   ReadLabels(top.metadata, "annotations",
                              [](const std::string& key) { return key == kStatusAnnotation; }));
  const bool marked = !status_of_injector.empty() && !status_of_injector.begin()->second.empty();
  RETURN_IF_ERROR(ReadOwner(top.metadata, &pod));
  ASSIGN_OR_RETURN(JsonObject spec, top.object.GetObject("spec"));
  if (marked) {
    ASSIGN_OR_RETURN(pod.injected, HasProxy(spec));
  }
  ASSIGN_OR_RETURN(pod.service_account, TextOrEmpty(spec, "serviceAccountName"));
  if (pod.service_account.empty()) pod.service_account = "default";
  ASSIGN_OR_RETURN(pod.node, TextOrEmpty(spec, "nodeName"));
  ASSIGN_OR_RETURN(pod.host_network, BoolOr(spec, "hostNetwork", false));
  ASSIGN_OR_RETURN(absl::optional<JsonObject> status, FindObject(top.object, "status"));
  if (status.has_value()) RETURN_IF_ERROR(ReadPodStatus(*status, &pod));
  return pod;
}

bool operator==(const KubeService& a, const KubeService& b) {
  const auto key = [](const KubeService& s) {
    return std::tie(s.name, s.cluster_ips, s.ports, s.external_name, s.publish_not_ready,
                    s.node_local, s.distribution);
  };
  return key(a) == key(b);
}

absl::StatusOr<KubeService> ParseService(const JsonValue& value) {
  ASSIGN_OR_RETURN(Top top, ReadTop(value));
  KubeService service;
  service.name = std::move(top.name);
  ASSIGN_OR_RETURN(JsonObject spec, top.object.GetObject("spec"));
  ASSIGN_OR_RETURN(std::string type, TextOrEmpty(spec, "type"));
  service.external_name = type == "ExternalName";
  ASSIGN_OR_RETURN(std::vector<JsonValue> ips, ListOrEmpty(spec, "clusterIPs"));
  const absl::optional<JsonValue> only = FindValue(spec, "clusterIP");
  if (ips.empty() && only.has_value()) ips.push_back(*only);
  for (const JsonValue& text : ips) {
    ASSIGN_OR_RETURN(std::string address, text.AsString());
    if (address.empty() || address == "None") continue;
    ASSIGN_OR_RETURN(IpAddress ip, ReadIp(text));
    service.cluster_ips.push_back(ip);
  }
  ASSIGN_OR_RETURN(service.ports, ReadPorts(spec));
  ASSIGN_OR_RETURN(service.publish_not_ready, BoolOr(spec, "publishNotReadyAddresses", false));
  ASSIGN_OR_RETURN(std::string internal, TextOrEmpty(spec, "internalTrafficPolicy"));
  service.node_local = internal == "Local";
  ASSIGN_OR_RETURN(service.distribution, TextOrEmpty(spec, "trafficDistribution"));
  return service;
}

bool operator==(const EndpointSlice& a, const EndpointSlice& b) {
  return a.name == b.name && a.service == b.service && a.ports == b.ports &&
         a.endpoints == b.endpoints;
}

absl::StatusOr<EndpointSlice> ParseEndpointSlice(const JsonValue& value) {
  ASSIGN_OR_RETURN(Top top, ReadTop(value));
  EndpointSlice slice;
  slice.name = std::move(top.name);
  constexpr absl::string_view kService = "kubernetes.io/service-name";
  ASSIGN_OR_RETURN(Labels labels, ReadLabels(top.metadata, "labels", [&](const std::string& key) {
                     return key == kService;
                   }));
  if (!labels.empty()) slice.service = labels.begin()->second;
  ASSIGN_OR_RETURN(std::string type, TextOrEmpty(top.object, "addressType"));
  // Names (FQDN) are nobody's address. v1beta1 of old had "IP" as well.
  if (type != "IPv4" && type != "IPv6" && type != "IP") return slice;
  ASSIGN_OR_RETURN(slice.ports, ReadPorts(top.object));
  ASSIGN_OR_RETURN(std::vector<JsonValue> endpoints, ListOrEmpty(top.object, "endpoints"));
  for (const JsonValue& entry : endpoints) {
    ASSIGN_OR_RETURN(SliceEndpoint endpoint, ReadEndpoint(entry));
    slice.endpoints.push_back(std::move(endpoint));
  }
  return slice;
}

absl::StatusOr<LabelledObject> ParseLabelledObject(const JsonValue& value) {
  ASSIGN_OR_RETURN(Top top, ReadTop(value));
  LabelledObject object;
  object.terminating = FindValue(top.metadata, "deletionTimestamp").has_value();
  object.name = std::move(top.name);
  ASSIGN_OR_RETURN(object.labels, ReadLabels(top.metadata, "labels", [](const std::string& key) {
                     return IsOurs(key) || IsTopology(key);
                   }));
  return object;
}

}  // namespace byrnie
