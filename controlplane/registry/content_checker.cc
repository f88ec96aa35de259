#include "controlplane/registry/content_checker.h"

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::security::Match;
using istio::security::StringMatch;
using istio::workload::LoadBalancing;
using istio::workload::PortList;
using istio::workload::Service;
using istio::workload::Workload;

template <typename... Args>
absl::Status Error(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

absl::Status CheckName(absl::string_view field, absl::string_view value) {
  if (value.empty()) return Error("\"", field, "\" is empty; give it a value");
  // Names meet in keys like "namespace/name" and in SPIFFE IDs: what a path segment may be is
  // what they may be.
  if (!SpiffeId::Parse(absl::StrCat("spiffe://x/", value)).ok() ||
      value.find('/') != absl::string_view::npos) {
    return Error("\"", field, "\" is \"", value, "\"; use letters, digits, '.', '-' and '_' only");
  }
  return absl::OkStatus();
}

absl::Status CheckPort(absl::string_view field, uint32_t port) {
  if (port >= 1 && port <= 65535) return absl::OkStatus();
  return Error("\"", field, "\" is ", port, "; a port is 1 to 65535");
}

absl::Status CheckLoadBalancing(const LoadBalancing& balancing) {
  if (!LoadBalancing::Mode_IsValid(balancing.mode())) {
    return Error("load_balancing: \"mode\" is unknown");
  }
  if (!LoadBalancing::HealthPolicy_IsValid(balancing.health_policy())) {
    return Error("load_balancing: \"health_policy\" is unknown");
  }
  const bool scoped =
      balancing.mode() == LoadBalancing::STRICT || balancing.mode() == LoadBalancing::FAILOVER;
  if (scoped == balancing.routing_preference().empty()) {
    return Error(
        "load_balancing: \"mode\" and \"routing_preference\" mean something only together; give "
        "both or neither");
  }
  absl::flat_hash_set<int> seen;
  for (const int scope : balancing.routing_preference()) {
    if (!LoadBalancing::Scope_IsValid(scope) || scope == LoadBalancing::UNSPECIFIED_SCOPE) {
      return Error("load_balancing: a scope of \"routing_preference\" is unknown");
    }
    if (!seen.insert(scope).second) {
      return Error("load_balancing: \"routing_preference\" names ",
                   LoadBalancing::Scope_Name(static_cast<LoadBalancing::Scope>(scope)),
                   " twice; remove one");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStringMatch(const StringMatch& match) {
  const bool given = match.has_presence() || !match.exact().empty() || !match.prefix().empty() ||
                     !match.suffix().empty();
  if (given) return absl::OkStatus();
  return Error(
      "a string match is empty; give \"exact\", \"prefix\" or \"suffix\" a text, or "
      "\"presence\"");
}

absl::Status CheckMatch(const Match& match) {
  for (const auto* list : {&match.namespaces(), &match.not_namespaces(), &match.principals(),
                           &match.not_principals()}) {
    for (const StringMatch& value : *list) RETURN_IF_ERROR(CheckStringMatch(value));
  }
  for (const auto* list : {&match.source_ips(), &match.not_source_ips(), &match.destination_ips(),
                           &match.not_destination_ips()}) {
    for (const auto& block : *list) {
      const size_t size = block.address().size();
      if ((size != 4 && size != 16) || block.length() > size * 8) {
        return Error("an address block has ", size, " bytes and a prefix of ", block.length(),
                     " bits");
      }
    }
  }
  for (const auto* list : {&match.destination_ports(), &match.not_destination_ports()}) {
    for (uint32_t port : *list) RETURN_IF_ERROR(CheckPort("destination_ports", port));
  }
  for (const auto* list : {&match.service_accounts(), &match.not_service_accounts()}) {
    for (const auto& account : *list) {
      RETURN_IF_ERROR(CheckName("namespace", account.namespace_()));
      RETURN_IF_ERROR(CheckName("service_account", account.service_account()));
    }
  }
  return absl::OkStatus();
}

// What is wrong with it as the address of one host, which all others reach; empty: nothing.
absl::string_view WhyNoHost(const IpAddress& ip) {
  if (ip.IsLoopback() || ip.IsUnspecified()) return "cannot be reached from other machines";
  const std::string bytes = ip.ToBytes();
  const uint8_t first = static_cast<uint8_t>(bytes.front());
  // RFC 5771, RFC 4291 section 2.7.
  if (ip.is_v4() ? first >> 4 == 0xe : first == 0xff) return "is a multicast address";
  if (bytes == "\xff\xff\xff\xff") return "is the broadcast address";
  return "";
}

absl::Status CheckAddress(const std::string& bytes) {
  const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(bytes);
  if (!ip.ok()) return Error(ip.status().message());
  const absl::string_view why = WhyNoHost(*ip);
  if (why.empty()) return absl::OkStatus();
  return Error("address ", ip->ToString(), " ", why, "; give the one it has on the network");
}

// The ports of a service that a workload listens on.
absl::Status CheckEndpointPorts(const std::string& key, const PortList& list) {
  absl::flat_hash_set<uint32_t> seen;
  for (const auto& port : list.ports()) {
    if (port.target_port() != 0) RETURN_IF_ERROR(CheckPort("target_port", port.target_port()));
    if (!seen.insert(port.service_port()).second) {
      return Error("services: \"", key, "\" names service_port ", port.service_port(),
                   " twice; remove one");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view EntriesName(const Workload&) { return "workloads"; }
absl::string_view EntriesName(const Service&) { return "services"; }
absl::string_view EntriesName(const Authorization&) { return "policies"; }

absl::Status CheckEntry(const Workload& workload) {
  if (workload.uid().empty()) return Error("\"uid\" is empty; give it a value");
  RETURN_IF_ERROR(CheckName("name", workload.name()));
  RETURN_IF_ERROR(CheckName("namespace", workload.namespace_()));
  RETURN_IF_ERROR(CheckName("service_account", workload.service_account()));
  const absl::Status domain = SpiffeId::CheckTrustDomain(workload.trust_domain());
  if (!domain.ok()) return Error(domain.message());
  if (workload.addresses().empty()) return Error("\"addresses\" is empty; give at least one");
  for (const std::string& address : workload.addresses()) {
    RETURN_IF_ERROR(CheckAddress(address));
  }
  for (const auto& service : workload.services()) {
    RETURN_IF_ERROR(CheckEndpointPorts(service.first, service.second));
  }
  return absl::OkStatus();
}

absl::Status CheckEntry(const Service& service) {
  RETURN_IF_ERROR(CheckName("name", service.name()));
  RETURN_IF_ERROR(CheckName("namespace", service.namespace_()));
  RETURN_IF_ERROR(CheckName("hostname", service.hostname()));
  for (const auto& address : service.addresses()) RETURN_IF_ERROR(CheckAddress(address.address()));
  absl::flat_hash_set<uint32_t> ports;
  for (const auto& port : service.ports()) {
    RETURN_IF_ERROR(CheckPort("service_port", port.service_port()));
    if (port.target_port() != 0) RETURN_IF_ERROR(CheckPort("target_port", port.target_port()));
    if (!ports.insert(port.service_port()).second) {
      return Error("service_port ", port.service_port(), " is there twice; remove one");
    }
  }
  for (const std::string& san : service.subject_alt_names()) {
    const absl::Status valid = SpiffeId::Parse(san).status();
    if (!valid.ok()) return Error("subject_alt_names: ", valid.message());
  }
  return CheckLoadBalancing(service.load_balancing());
}

absl::Status CheckEntry(const Authorization& policy) {
  RETURN_IF_ERROR(CheckName("name", policy.name()));
  RETURN_IF_ERROR(CheckName("namespace", policy.namespace_()));
  if (!istio::security::Scope_IsValid(policy.scope())) return Error("\"scope\" is unknown");
  if (!istio::security::Action_IsValid(policy.action())) return Error("\"action\" is unknown");
  for (const auto& rule : policy.rules()) {
    for (const auto& clause : rule.clauses()) {
      for (const auto& match : clause.matches()) RETURN_IF_ERROR(CheckMatch(match));
    }
  }
  return absl::OkStatus();
}

std::string ServiceKey(const Service& service) {
  return absl::StrCat(service.namespace_(), "/", service.hostname());
}

std::string PolicyKey(const Authorization& policy) {
  return absl::StrCat(policy.namespace_(), "/", policy.name());
}

std::string AddressKey(const std::string& network, const std::string& address) {
  absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(address);
  return absl::StrCat(network, "/", ip.ok() ? ip->ToString() : "");
}

}  // namespace byrnie
