#include "proxy/address_conversion.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

namespace pb = ::istio::workload;

constexpr absl::string_view kDefaultTrustDomain = "cluster.local";
constexpr absl::string_view kDefaultServiceAccount = "default";
// There are six.
constexpr int kMaxScopes = 16;

absl::StatusOr<uint16_t> ConvertPort(uint32_t port) {
  if (port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", port, " is not in 1 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

// A target port of 0 means the service port.
absl::Status AddPort(const pb::Port& from, std::map<uint16_t, uint16_t>* to) {
  ASSIGN_OR_RETURN(const uint16_t service_port, ConvertPort(from.service_port()));
  uint16_t target_port = service_port;
  if (from.target_port() != 0) {
    ASSIGN_OR_RETURN(target_port, ConvertPort(from.target_port()));
  }
  (*to)[service_port] = target_port;
  return absl::OkStatus();
}

absl::Status AddAddress(const std::string& bytes, std::vector<IpAddress>* to) {
  ASSIGN_OR_RETURN(const IpAddress address, IpAddress::FromBytes(bytes));
  if (address.IsUnspecified()) {
    return absl::InvalidArgumentError("an address is all zero");
  }
  if (std::find(to->begin(), to->end(), address) == to->end()) to->push_back(address);
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> IdentityOf(const pb::Workload& workload) {
  const absl::string_view trust_domain =
      workload.trust_domain().empty() ? kDefaultTrustDomain : workload.trust_domain();
  const absl::string_view account = workload.service_account().empty()
                                        ? kDefaultServiceAccount
                                        : absl::string_view(workload.service_account());
  ASSIGN_OR_RETURN(SpiffeId id,
                   SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, "/ns/",
                                                workload.namespace_(), "/sa/", account)));
  // A '/' in one of the parts would make it another workload's identity.
  if (id.trust_domain() != trust_domain || id.k8s_namespace() != workload.namespace_() ||
      id.k8s_service_account() != account) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", id.text(), "\" is not the identity of a service account"));
  }
  return id;
}

absl::Status ConvertState(const pb::Workload& from, Workload* to) {
  switch (from.tunnel_protocol()) {
    case pb::NONE:
      to->tunnel = Workload::Tunnel::kNone;
      break;
    case pb::HBONE:
      to->tunnel = Workload::Tunnel::kHbone;
      break;
    case pb::LEGACY_ISTIO_MTLS:
      to->tunnel = Workload::Tunnel::kLegacyMtls;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown tunnel protocol ", static_cast<int>(from.tunnel_protocol())));
  }
  switch (from.application_tunnel().protocol()) {
    case pb::ApplicationTunnel::NONE:
      break;
    case pb::ApplicationTunnel::PROXY:
      to->proxy_protocol = true;
      if (from.application_tunnel().port() != 0) {
        ASSIGN_OR_RETURN(to->proxy_protocol_port, ConvertPort(from.application_tunnel().port()));
      }
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown application tunnel protocol ",
                       static_cast<int>(from.application_tunnel().protocol())));
  }
  switch (from.status()) {
    case pb::HEALTHY:
      to->healthy = true;
      break;
    case pb::UNHEALTHY:
      to->healthy = false;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown status ", static_cast<int>(from.status())));
  }
  to->capacity = std::max<uint32_t>(from.capacity().value(), 1);
  return absl::OkStatus();
}

Placement ConvertPlacement(const pb::Workload& from) {
  Placement to;
  to.network = from.network();
  to.cluster = from.cluster_id();
  to.node = from.node();
  to.region = from.locality().region();
  to.zone = from.locality().zone();
  to.subzone = from.locality().subzone();
  return to;
}

absl::StatusOr<LoadBalancing::Scope> ConvertScope(int scope) {
  switch (scope) {
    case pb::LoadBalancing::REGION:
      return LoadBalancing::Scope::kRegion;
    case pb::LoadBalancing::ZONE:
      return LoadBalancing::Scope::kZone;
    case pb::LoadBalancing::SUBZONE:
      return LoadBalancing::Scope::kSubzone;
    case pb::LoadBalancing::NODE:
      return LoadBalancing::Scope::kNode;
    case pb::LoadBalancing::CLUSTER:
      return LoadBalancing::Scope::kCluster;
    case pb::LoadBalancing::NETWORK:
      return LoadBalancing::Scope::kNetwork;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown load balancing scope ", scope));
  }
}

absl::StatusOr<LoadBalancing> ConvertBalancing(const pb::LoadBalancing& from) {
  LoadBalancing to;
  switch (from.mode()) {
    case pb::LoadBalancing::UNSPECIFIED_MODE:
      to.mode = LoadBalancing::Mode::kAny;
      break;
    case pb::LoadBalancing::STRICT:
      to.mode = LoadBalancing::Mode::kStrict;
      break;
    case pb::LoadBalancing::FAILOVER:
      to.mode = LoadBalancing::Mode::kFailover;
      break;
    case pb::LoadBalancing::PASSTHROUGH:
      to.mode = LoadBalancing::Mode::kPassthrough;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown load balancing mode ", static_cast<int>(from.mode())));
  }
  switch (from.health_policy()) {
    case pb::LoadBalancing::ONLY_HEALTHY:
      break;
    case pb::LoadBalancing::ALLOW_ALL:
      to.allow_unhealthy = true;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown health policy ", static_cast<int>(from.health_policy())));
  }
  if (to.mode != LoadBalancing::Mode::kStrict && to.mode != LoadBalancing::Mode::kFailover) {
    return to;
  }
  if (from.routing_preference_size() > kMaxScopes) {
    return absl::InvalidArgumentError(
        absl::StrCat(from.routing_preference_size(), " load balancing scopes"));
  }
  for (const int scope : from.routing_preference()) {
    ASSIGN_OR_RETURN(const LoadBalancing::Scope converted, ConvertScope(scope));
    to.preference.push_back(converted);
  }
  return to;
}

// What is not known is a pod: nothing is decided by it.
Workload::Maker ConvertMaker(pb::WorkloadType from) {
  switch (from) {
    case pb::DEPLOYMENT:
      return Workload::Maker::kDeployment;
    case pb::JOB:
      return Workload::Maker::kJob;
    case pb::CRONJOB:
      return Workload::Maker::kCronJob;
    default:
      return Workload::Maker::kPod;
  }
}

absl::StatusOr<Workload> ConvertUnnamed(const pb::Workload& from) {
  if (from.uid().empty()) return absl::InvalidArgumentError("it has no uid");
  if (from.namespace_().empty()) return absl::InvalidArgumentError("it has no namespace");
  Workload to;
  to.uid = from.uid();
  to.name = from.name();
  to.workload_name = from.workload_name().empty() ? from.name() : from.workload_name();
  to.ns = from.namespace_();
  to.maker = ConvertMaker(from.workload_type());
  to.maker_name = from.workload_name();
  to.canonical_name = from.canonical_name();
  to.canonical_revision = from.canonical_revision();
  RETURN_IF_ERROR(ConvertState(from, &to));
  absl::StatusOr<SpiffeId> identity = IdentityOf(from);
  // Outside the mesh nobody proves an identity, so that a missing one is no error there.
  if (identity.ok()) {
    to.identity = *std::move(identity);
  } else if (to.tunnel != Workload::Tunnel::kNone) {
    return identity.status();
  }
  for (const std::string& address : from.addresses()) {
    RETURN_IF_ERROR(AddAddress(address, &to.addresses));
  }
  to.placement = ConvertPlacement(from);
  for (const auto& [service, ports] : from.services()) {
    Workload::PortMap& map = to.services[service];
    for (const pb::Port& port : ports.ports()) RETURN_IF_ERROR(AddPort(port, &map));
  }
  to.authorization_policies.assign(from.authorization_policies().begin(),
                                   from.authorization_policies().end());
  return to;
}

absl::StatusOr<Service> ConvertUnnamed(const pb::Service& from) {
  if (from.namespace_().empty()) return absl::InvalidArgumentError("it has no namespace");
  if (from.hostname().empty()) return absl::InvalidArgumentError("it has no hostname");
  Service to;
  to.ns = from.namespace_();
  to.hostname = from.hostname();
  for (const pb::NetworkAddress& address : from.addresses()) {
    RETURN_IF_ERROR(AddAddress(address.address(), &to.vips));
  }
  for (const pb::Port& port : from.ports()) RETURN_IF_ERROR(AddPort(port, &to.ports));
  for (const std::string& name : from.subject_alt_names()) {
    ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(name));
    to.subject_alt_names.push_back(std::move(id));
  }
  ASSIGN_OR_RETURN(to.balancing, ConvertBalancing(from.load_balancing()));
  return to;
}

}  // namespace

absl::StatusOr<Workload> ConvertWorkload(const pb::Workload& workload) {
  absl::StatusOr<Workload> converted = ConvertUnnamed(workload);
  if (!converted.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("workload \"", workload.uid(), "\": ", converted.status().message()));
  }
  return converted;
}

absl::StatusOr<Service> ConvertService(const pb::Service& service) {
  absl::StatusOr<Service> converted = ConvertUnnamed(service);
  if (!converted.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("service \"", service.namespace_(), "/",
                                                   service.hostname(),
                                                   "\": ", converted.status().message()));
  }
  return converted;
}

}  // namespace byrnie
