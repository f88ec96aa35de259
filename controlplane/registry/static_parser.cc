#include "controlplane/registry/static_parser.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/net/socket_address.h"
#include "controlplane/registry/policy_parser.h"

namespace byrnie {
namespace {

using istio::workload::LoadBalancing;
using istio::workload::Port;
using istio::workload::Service;
using istio::workload::Workload;

absl::StatusOr<std::string> ParseAddress(const JsonValue& value) {
  ASSIGN_OR_RETURN(std::string text, value.AsString());
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(text);
  if (!ip.ok()) {
    return value.Error(absl::StrCat("\"", text, "\" is not an IPv4 or IPv6 address"));
  }
  return ip->ToBytes();
}

absl::Status ParsePorts(const std::vector<JsonValue>& values,
                        google::protobuf::RepeatedPtrField<Port>* out) {
  for (const JsonValue& value : values) {
    ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
    RETURN_IF_ERROR(object.CheckKeys({"service_port", "target_port"}));
    Port* port = out->Add();
    ASSIGN_OR_RETURN(int64_t service_port, object.GetInt("service_port", 1, 65535));
    port->set_service_port(static_cast<uint32_t>(service_port));
    ASSIGN_OR_RETURN(int64_t target_port, object.GetIntOr("target_port", 1, 65535, service_port));
    port->set_target_port(static_cast<uint32_t>(target_port));
  }
  return absl::OkStatus();
}

absl::Status ParseTunnelProtocol(const JsonObject& object, Workload* workload) {
  ASSIGN_OR_RETURN(std::string name, object.GetStringOr("tunnel_protocol", "HBONE"));
  if (name == "HBONE") {
    workload->set_tunnel_protocol(istio::workload::HBONE);
  } else if (name == "NONE") {
    workload->set_tunnel_protocol(istio::workload::NONE);
  } else if (name == "LEGACY_ISTIO_MTLS") {
    workload->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  } else {
    return object.Get("tunnel_protocol")
        ->Error(absl::StrCat("\"", name, "\" is none of HBONE, LEGACY_ISTIO_MTLS, NONE"));
  }
  return absl::OkStatus();
}

absl::Status ParseApplicationTunnel(const JsonObject& object, Workload* workload) {
  if (!object.Has("application_tunnel")) return absl::OkStatus();
  ASSIGN_OR_RETURN(JsonObject tunnel, object.GetObject("application_tunnel"));
  RETURN_IF_ERROR(tunnel.CheckKeys({"protocol", "port"}));
  ASSIGN_OR_RETURN(std::string name, tunnel.GetString("protocol"));
  if (name != "PROXY" && name != "NONE") {
    return tunnel.Get("protocol")->Error(absl::StrCat("\"", name, "\" is neither PROXY nor NONE"));
  }
  ASSIGN_OR_RETURN(int64_t port, tunnel.GetIntOr("port", 1, 65535, 0));
  if (name == "NONE") return absl::OkStatus();
  workload->mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
  workload->mutable_application_tunnel()->set_port(static_cast<uint32_t>(port));
  return absl::OkStatus();
}

absl::Status ParsePlacement(const JsonObject& object, Workload* workload) {
  ASSIGN_OR_RETURN(*workload->mutable_network(), object.GetStringOr("network", ""));
  ASSIGN_OR_RETURN(*workload->mutable_cluster_id(), object.GetStringOr("cluster_id", ""));
  ASSIGN_OR_RETURN(*workload->mutable_node(), object.GetStringOr("node", ""));
  if (!object.Has("locality")) return absl::OkStatus();
  ASSIGN_OR_RETURN(JsonObject place, object.GetObject("locality"));
  RETURN_IF_ERROR(place.CheckKeys({"region", "zone", "subzone"}));
  istio::workload::Locality* locality = workload->mutable_locality();
  ASSIGN_OR_RETURN(*locality->mutable_region(), place.GetStringOr("region", ""));
  ASSIGN_OR_RETURN(*locality->mutable_zone(), place.GetStringOr("zone", ""));
  ASSIGN_OR_RETURN(*locality->mutable_subzone(), place.GetStringOr("subzone", ""));
  return absl::OkStatus();
}

absl::StatusOr<LoadBalancing> ParseLoadBalancing(const JsonObject& object) {
  RETURN_IF_ERROR(object.CheckKeys({"mode", "routing_preference", "health_policy"}));
  LoadBalancing balancing;
  ASSIGN_OR_RETURN(std::string mode, object.GetStringOr("mode", ""));
  if (mode == "STRICT") {
    balancing.set_mode(LoadBalancing::STRICT);
  } else if (mode == "FAILOVER") {
    balancing.set_mode(LoadBalancing::FAILOVER);
  } else if (!mode.empty()) {
    return object.Get("mode")->Error(absl::StrCat("\"", mode, "\" is neither STRICT nor FAILOVER"));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> scopes,
                   object.GetStringArrayOrEmpty("routing_preference"));
  for (const std::string& name : scopes) {
    LoadBalancing::Scope scope;
    if (!LoadBalancing::Scope_Parse(name, &scope) || scope == LoadBalancing::UNSPECIFIED_SCOPE) {
      return object.Get("routing_preference")
          ->Error(absl::StrCat("\"", name,
                               "\" is none of REGION, ZONE, SUBZONE, NODE, CLUSTER, NETWORK"));
    }
    balancing.add_routing_preference(scope);
  }
  ASSIGN_OR_RETURN(std::string health, object.GetStringOr("health_policy", "ONLY_HEALTHY"));
  LoadBalancing::HealthPolicy policy;
  if (!LoadBalancing::HealthPolicy_Parse(health, &policy)) {
    return object.Get("health_policy")
        ->Error(absl::StrCat("\"", health, "\" is neither ONLY_HEALTHY nor ALLOW_ALL"));
  }
  balancing.set_health_policy(policy);
  return balancing;
}

}  // namespace

absl::StatusOr<Workload> ParseWorkloadEntry(const JsonValue& value,
                                            const std::string& trust_domain) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"name", "namespace", "service_account", "addresses", "node",
                                    "network", "cluster_id", "locality", "tunnel_protocol",
                                    "capacity", "healthy", "uid", "authorization_policies",
                                    "services", "application_tunnel", "trust_domain"}));
  Workload workload;
  ASSIGN_OR_RETURN(*workload.mutable_trust_domain(),
                   object.GetStringOr("trust_domain", trust_domain));
  ASSIGN_OR_RETURN(*workload.mutable_name(), object.GetString("name"));
  ASSIGN_OR_RETURN(*workload.mutable_namespace_(), object.GetString("namespace"));
  ASSIGN_OR_RETURN(*workload.mutable_service_account(), object.GetString("service_account"));
  ASSIGN_OR_RETURN(std::string uid, object.GetStringOr("uid", ""));
  workload.set_uid(!uid.empty()
                       ? uid
                       : absl::StrCat("static//pod/", workload.namespace_(), "/", workload.name()));
  RETURN_IF_ERROR(ParsePlacement(object, &workload));
  RETURN_IF_ERROR(ParseTunnelProtocol(object, &workload));
  RETURN_IF_ERROR(ParseApplicationTunnel(object, &workload));
  ASSIGN_OR_RETURN(int64_t capacity, object.GetIntOr("capacity", 1, 1'000'000, 1));
  workload.mutable_capacity()->set_value(static_cast<uint32_t>(capacity));
  ASSIGN_OR_RETURN(bool healthy, object.GetBoolOr("healthy", true));
  workload.set_status(healthy ? istio::workload::HEALTHY : istio::workload::UNHEALTHY);
  workload.set_workload_type(istio::workload::POD);
  workload.set_workload_name(workload.name());
  workload.set_canonical_name(workload.name());

  ASSIGN_OR_RETURN(JsonValue address_list, object.Get("addresses"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> addresses, address_list.AsArray());
  for (const JsonValue& entry : addresses) {
    ASSIGN_OR_RETURN(*workload.add_addresses(), ParseAddress(entry));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> policies,
                   object.GetStringArrayOrEmpty("authorization_policies"));
  for (std::string& policy : policies) workload.add_authorization_policies(std::move(policy));
  if (object.Has("services")) {
    ASSIGN_OR_RETURN(JsonObject services, object.GetObject("services"));
    for (const auto& member : services.Members()) {
      ASSIGN_OR_RETURN(std::vector<JsonValue> ports, member.second.AsArray());
      RETURN_IF_ERROR(
          ParsePorts(ports, (*workload.mutable_services())[member.first].mutable_ports()));
    }
  }
  return workload;
}

absl::StatusOr<Service> ParseServiceEntry(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"name", "namespace", "hostname", "addresses", "network",
                                    "ports", "subject_alt_names", "load_balancing"}));
  Service service;
  ASSIGN_OR_RETURN(*service.mutable_name(), object.GetString("name"));
  ASSIGN_OR_RETURN(*service.mutable_namespace_(), object.GetString("namespace"));
  ASSIGN_OR_RETURN(*service.mutable_hostname(), object.GetString("hostname"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> addresses, object.GetArrayOrEmpty("addresses"));
  ASSIGN_OR_RETURN(std::string network, object.GetStringOr("network", ""));
  for (const JsonValue& entry : addresses) {
    istio::workload::NetworkAddress* address = service.add_addresses();
    address->set_network(network);
    ASSIGN_OR_RETURN(*address->mutable_address(), ParseAddress(entry));
  }
  ASSIGN_OR_RETURN(JsonValue port_list, object.Get("ports"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> ports, port_list.AsArray());
  RETURN_IF_ERROR(ParsePorts(ports, service.mutable_ports()));
  ASSIGN_OR_RETURN(std::vector<std::string> names,
                   object.GetStringArrayOrEmpty("subject_alt_names"));
  for (std::string& name : names) service.add_subject_alt_names(std::move(name));
  if (object.Has("load_balancing")) {
    ASSIGN_OR_RETURN(JsonObject balancing, object.GetObject("load_balancing"));
    ASSIGN_OR_RETURN(*service.mutable_load_balancing(), ParseLoadBalancing(balancing));
  }
  return service;
}

absl::Status ReadRegistryFile(absl::string_view text, const std::string& trust_domain,
                              RegistryReader* reader) {
  ASSIGN_OR_RETURN(
      JsonObject object,
      JsonValue::ParseLists(
          text, kMaxRegistryFileSize,
          [&](absl::string_view member, const JsonValue& value) -> absl::Status {
            if (member == "workloads") {
              ASSIGN_OR_RETURN(Workload workload, ParseWorkloadEntry(value, trust_domain));
              return reader->OnWorkload(std::move(workload));
            }
            if (member == "services") {
              ASSIGN_OR_RETURN(Service service, ParseServiceEntry(value));
              return reader->OnService(std::move(service));
            }
            if (member == "policies") {
              ASSIGN_OR_RETURN(istio::security::Authorization policy, ParsePolicy(value));
              return reader->OnPolicy(std::move(policy));
            }
            return absl::OkStatus();  // Found below.
          }));
  RETURN_IF_ERROR(object.CheckKeys({"workloads", "services", "policies", "empty"}));
  for (absl::string_view list : {"workloads", "services", "policies"}) {
    RETURN_IF_ERROR(object.GetArrayOrEmpty(list).status());
  }
  ASSIGN_OR_RETURN(const bool empty, object.GetBoolOr("empty", false));
  if (empty) reader->OnMeantEmpty();
  return absl::OkStatus();
}

absl::StatusOr<RegistryContent> ParseRegistryFile(absl::string_view text,
                                                  const std::string& trust_domain) {
  class Collector final : public RegistryReader {
   public:
    absl::Status OnWorkload(Workload workload) override {
      content.workloads.push_back(std::move(workload));
      return absl::OkStatus();
    }
    absl::Status OnService(Service service) override {
      content.services.push_back(std::move(service));
      return absl::OkStatus();
    }
    absl::Status OnPolicy(istio::security::Authorization policy) override {
      content.policies.push_back(std::move(policy));
      return absl::OkStatus();
    }
    RegistryContent content;
  };
  Collector collector;
  RETURN_IF_ERROR(ReadRegistryFile(text, trust_domain, &collector));
  return std::move(collector.content);
}

}  // namespace byrnie
