#include "controlplane/registry/kubernetes/conversion.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace byrnie {
namespace {

using istio::workload::LoadBalancing;
using istio::workload::Service;
using istio::workload::TunnelProtocol;
using istio::workload::Workload;

constexpr uint32_t kMaxCapacity = 1'000'000;
// Where what runs on hosts is counted among.
constexpr char kHostNamespace[] = "kube-system";

std::string FindLabel(const Labels& labels, absl::string_view key) {
  const auto found = labels.find(std::string(key));
  return found == labels.end() ? "" : found->second;
}

// The first that is set.
std::string FirstLabel(const Labels& labels, std::initializer_list<absl::string_view> keys) {
  for (absl::string_view key : keys) {
    std::string value = FindLabel(labels, key);
    if (!value.empty()) return value;
  }
  return "";
}

void SetLocality(const LabelledObject* node, Workload* workload) {
  if (node == nullptr) return;
  const std::string region = FirstLabel(
      node->labels, {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"});
  const std::string zone = FirstLabel(
      node->labels, {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"});
  const std::string subzone =
      FirstLabel(node->labels, {"topology.byrnie.io/subzone", "topology.istio.io/subzone"});
  if (region.empty() && zone.empty() && subzone.empty()) return;
  workload->mutable_locality()->set_region(region);
  workload->mutable_locality()->set_zone(zone);
  workload->mutable_locality()->set_subzone(subzone);
}

// How peers reach a pod: by what has been put into it. What is not known to be there is not.
TunnelProtocol TunnelOf(const Pod& pod, const KubernetesMesh& mesh) {
  if (pod.injected) return istio::workload::HBONE;
  // Istio's injector puts its label on every pod, whatever CA it has.
  if (!mesh.istio_peers) return istio::workload::NONE;
  if (FindLabel(pod.annotations, "ambient.istio.io/redirection") == "enabled") {
    return istio::workload::HBONE;
  }
  if (FindLabel(pod.labels, "security.istio.io/tlsMode") == "istio") {
    return istio::workload::LEGACY_ISTIO_MTLS;
  }
  return istio::workload::NONE;
}

std::string NetworkOf(const Pod& pod, const LabelledObject* ns, const KubernetesMesh& mesh) {
  std::string network = FirstLabel(pod.labels, {kNetworkKey, "topology.istio.io/network"});
  if (network.empty() && ns != nullptr) {
    network = FirstLabel(ns->labels, {kNetworkKey, "topology.istio.io/network"});
  }
  return network.empty() ? mesh.network : network;
}

uint32_t CapacityOf(const Pod& pod) {
  uint32_t capacity = 1;
  const std::string text = FindLabel(pod.annotations, kCapacityKey);
  if (!absl::SimpleAtoi(text, &capacity) || capacity < 1 || capacity > kMaxCapacity) return 1;
  return capacity;
}

// Without "-" and the digits or the hash behind it.
std::string WithoutSuffix(const std::string& name, bool digits) {
  const size_t dash = name.rfind('-');
  if (dash == std::string::npos || dash == 0 || dash + 1 == name.size()) return name;
  const bool fits = std::all_of(name.begin() + dash + 1, name.end(), [digits](char c) {
    return digits ? absl::ascii_isdigit(c) : absl::ascii_isalnum(c);
  });
  return fits ? name.substr(0, dash) : name;
}

void SetOwner(const Pod& pod, Workload* workload) {
  if (pod.owner_kind.empty()) {
    workload->set_workload_type(istio::workload::POD);
    workload->set_workload_name(pod.name.name);
  } else if (pod.owner_kind == "ReplicaSet") {
    // A Deployment's are called after the hash of its template.
    const std::string hash = FindLabel(pod.labels, "pod-template-hash");
    absl::string_view name = pod.owner_name;
    if (!hash.empty()) absl::ConsumeSuffix(&name, absl::StrCat("-", hash));
    workload->set_workload_type(istio::workload::DEPLOYMENT);
    workload->set_workload_name(std::string(name));
  } else if (pod.owner_kind == "Job") {
    // A CronJob's are called after the time, which has eight digits until the year 2160.
    const std::string name = WithoutSuffix(pod.owner_name, /*digits=*/true);
    const bool cron = pod.owner_name.size() - name.size() == 9;
    workload->set_workload_type(cron ? istio::workload::CRONJOB : istio::workload::JOB);
    workload->set_workload_name(cron ? name : pod.owner_name);
  } else {
    workload->set_workload_type(istio::workload::DEPLOYMENT);
    workload->set_workload_name(pod.owner_name);
  }
}

void SetServices(const std::vector<EndpointOf>& endpoint_of, const KubernetesMesh& mesh,
                 Workload* workload) {
  for (const EndpointOf& endpoint : endpoint_of) {
    istio::workload::PortList* list = nullptr;
    for (const ServicePort& port : endpoint.service->ports) {
      // Port for port, by name.
      const auto target = std::find_if(
          endpoint.slice->ports.begin(), endpoint.slice->ports.end(),
          [&port](const ServicePort& candidate) { return candidate.name == port.name; });
      if (target == endpoint.slice->ports.end()) continue;
      if (list == nullptr) {
        list = &(*workload->mutable_services())[ServiceKeyOf(endpoint.service->name, mesh)];
      }
      const bool known =
          std::any_of(list->ports().begin(), list->ports().end(),
                      [&port](const auto& other) { return other.service_port() == port.port; });
      if (known) continue;
      istio::workload::Port* added = list->add_ports();
      added->set_service_port(port.port);
      added->set_target_port(target->port);
    }
  }
}

// Which endpoints a service's clients prefer, as Kubernetes says it. Each scope is looked at by
// itself, so the larger ones come first.
void SetLoadBalancing(const KubeService& from, Service* to) {
  LoadBalancing balancing;
  if (from.node_local) {
    balancing.set_mode(LoadBalancing::STRICT);
    balancing.add_routing_preference(LoadBalancing::NODE);
  } else if (from.distribution == "PreferClose" || from.distribution == "PreferSameZone" ||
             from.distribution == "PreferSameNode") {
    balancing.set_mode(LoadBalancing::FAILOVER);
    balancing.add_routing_preference(LoadBalancing::REGION);
    balancing.add_routing_preference(LoadBalancing::ZONE);
    if (from.distribution == "PreferSameNode") {
      balancing.add_routing_preference(LoadBalancing::NODE);
    }
  }
  if (from.publish_not_ready) balancing.set_health_policy(LoadBalancing::ALLOW_ALL);
  if (balancing.ByteSizeLong() > 0) *to->mutable_load_balancing() = std::move(balancing);
}

}  // namespace

std::string ServiceKeyOf(const ObjectName& service, const KubernetesMesh& mesh) {
  return absl::StrCat(service.ns, "/", service.name, ".", service.ns, ".svc.", mesh.cluster_domain);
}

std::string PodKey(const ObjectName& pod, const KubernetesMesh& mesh) {
  return absl::StrCat(mesh.cluster_id, "//Pod/", pod.ns, "/", pod.name);
}

std::string AddressWorkloadKey(const IpAddress& ip, const KubernetesMesh& mesh) {
  return absl::StrCat(mesh.cluster_id, "//Address/", ip.ToString());
}

bool Selects(const PolicySelector& policy, const Pod& pod) {
  if (policy.name.ns != pod.name.ns) return false;
  return std::all_of(policy.labels.begin(), policy.labels.end(), [&pod](const auto& label) {
    const auto found = pod.labels.find(label.first);
    return found != pod.labels.end() && found->second == label.second;
  });
}

absl::optional<Service> ToService(const KubeService& service, const KubernetesMesh& mesh) {
  if (service.external_name || service.ports.empty()) return absl::nullopt;
  Service result;
  result.set_name(service.name.name);
  result.set_namespace_(service.name.ns);
  result.set_hostname(
      absl::StrCat(service.name.name, ".", service.name.ns, ".svc.", mesh.cluster_domain));
  for (const IpAddress& ip : service.cluster_ips) {
    istio::workload::NetworkAddress* address = result.add_addresses();
    address->set_network(mesh.network);
    address->set_address(ip.ToBytes());
  }
  for (const ServicePort& port : service.ports) result.add_ports()->set_service_port(port.port);
  SetLoadBalancing(service, &result);
  return result;
}

absl::optional<Workload> ToWorkload(const Pod& pod, const std::vector<IpAddress>& addresses,
                                    const LabelledObject* node, const LabelledObject* ns,
                                    const std::vector<EndpointOf>& endpoint_of, bool last,
                                    const std::vector<std::string>& policies,
                                    const KubernetesMesh& mesh) {
  if (pod.finished || pod.host_network || addresses.empty()) return absl::nullopt;
  Workload workload;
  workload.set_uid(PodKey(pod.name, mesh));
  workload.set_name(pod.name.name);
  workload.set_namespace_(pod.name.ns);
  workload.set_service_account(pod.service_account);
  workload.set_trust_domain(mesh.trust_domain);
  for (const IpAddress& ip : addresses) workload.add_addresses(ip.ToBytes());
  workload.set_network(NetworkOf(pod, ns, mesh));
  workload.set_cluster_id(mesh.cluster_id);
  workload.set_node(pod.node);
  workload.set_tunnel_protocol(TunnelOf(pod, mesh));
  // One that has been told to end takes no new connections while others do, and keeps those it has.
  workload.set_status(pod.ready && (!pod.terminating || last) ? istio::workload::HEALTHY
                                                              : istio::workload::UNHEALTHY);
  workload.mutable_capacity()->set_value(CapacityOf(pod));
  SetLocality(node, &workload);
  SetOwner(pod, &workload);
  const std::string app =
      FirstLabel(pod.labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"});
  workload.set_canonical_name(app.empty() ? workload.workload_name() : app);
  workload.set_canonical_revision(FirstLabel(
      pod.labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}));
  SetServices(endpoint_of, mesh, &workload);
  for (const std::string& policy : policies) workload.add_authorization_policies(policy);
  return workload;
}

Workload ToAddressWorkload(const IpAddress& ip, const std::string& node_name,
                           const LabelledObject* node, const std::vector<EndpointOf>& endpoint_of,
                           const KubernetesMesh& mesh) {
  Workload workload;
  workload.set_uid(AddressWorkloadKey(ip, mesh));
  // Colons are no part of a name.
  std::string name = absl::StrCat("address-", ip.ToString());
  std::replace(name.begin(), name.end(), ':', '-');
  workload.set_name(name);
  workload.set_namespace_(kHostNamespace);
  workload.set_service_account("default");
  workload.set_trust_domain(mesh.trust_domain);
  workload.add_addresses(ip.ToBytes());
  workload.set_network(mesh.network);
  workload.set_cluster_id(mesh.cluster_id);
  workload.set_node(node_name);
  workload.set_tunnel_protocol(istio::workload::NONE);
  workload.set_status(istio::workload::HEALTHY);
  workload.mutable_capacity()->set_value(1);
  workload.set_workload_type(istio::workload::POD);
  workload.set_workload_name(name);
  workload.set_canonical_name(name);
  SetLocality(node, &workload);
  SetServices(endpoint_of, mesh, &workload);
  return workload;
}

}  // namespace byrnie
