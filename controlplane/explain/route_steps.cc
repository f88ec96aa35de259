#include "controlplane/explain/route_steps.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

using istio::workload::LoadBalancing;
using Outcome = ExplainStep::Outcome;

// Where an endpoint takes a port of a service; absent: not at all.
absl::optional<uint16_t> TargetPort(const MeshView::Workload& endpoint,
                                    const MeshView::Service& service, uint16_t port) {
  const auto list = endpoint.services().find(ServiceKey(service));
  if (list == endpoint.services().end()) return absl::nullopt;
  for (const auto& entry : list->second.ports()) {
    if (entry.service_port() != port) continue;
    return static_cast<uint16_t>(entry.target_port() == 0 ? port : entry.target_port());
  }
  return absl::nullopt;
}

// What a workload has in a scope; empty: not known, which is the same as nothing.
std::string PlaceIn(LoadBalancing::Scope scope, const MeshView::Workload& workload) {
  switch (scope) {
    case LoadBalancing::REGION:
      return workload.locality().region();
    case LoadBalancing::ZONE:
      return workload.locality().zone();
    case LoadBalancing::SUBZONE:
      return workload.locality().subzone();
    case LoadBalancing::NODE:
      return workload.node();
    case LoadBalancing::CLUSTER:
      return workload.cluster_id();
    case LoadBalancing::NETWORK:
      return workload.network();
    default:
      return "";
  }
}

// Whether a STRICT preference lets the source reach an endpoint.
bool IsNear(const LoadBalancing& balancing, const Party& source,
            const MeshView::Workload& endpoint) {
  if (!source.workload.has_value()) return false;
  for (const int scope : balancing.routing_preference()) {
    const auto kind = static_cast<LoadBalancing::Scope>(scope);
    const std::string place = PlaceIn(kind, *source.workload);
    const bool same = place == PlaceIn(kind, endpoint);
    // Of the only network and cluster everybody is.
    const bool may_be_empty = kind == LoadBalancing::NETWORK || kind == LoadBalancing::CLUSTER;
    if (!same || (place.empty() && !may_be_empty)) return false;
  }
  return true;
}

std::string NamesOf(const std::vector<RouteTarget>& targets) {
  return absl::StrJoin(targets, ", ", [](std::string* out, const RouteTarget& target) {
    absl::StrAppend(out, MeshView::NameOf(target.workload));
  });
}

// The destination's address of the family that the source has, too.
IpAddress AddressFor(const Party& source, const std::vector<IpAddress>& addresses) {
  for (const IpAddress& address : addresses) {
    if (!source.addresses.empty() && source.addresses.front().is_v4() == address.is_v4()) {
      return address;
    }
  }
  return addresses.front();
}

ExplainStep Step(const char* name, Outcome outcome, std::string reason, std::string remedy = "") {
  return ExplainStep{name, outcome, std::move(reason), std::move(remedy)};
}

bool HasPort(const MeshView::Service& service, uint16_t port) {
  return std::any_of(service.ports().begin(), service.ports().end(),
                     [port](const auto& entry) { return entry.service_port() == port; });
}

// "80, 443".
std::string PortsOf(const MeshView::Service& service) {
  return absl::StrJoin(service.ports(), ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.service_port());
  });
}

// Where a workload takes services. What it listens on besides nobody has told.
std::set<uint32_t> TargetPortsOf(const MeshView::Workload& workload) {
  std::set<uint32_t> ports;
  for (const auto& [key, list] : workload.services()) {
    for (const auto& entry : list.ports()) {
      ports.insert(entry.target_port() == 0 ? entry.service_port() : entry.target_port());
    }
  }
  return ports;
}

void FindEndpoints(const MeshView& view, const Party& source, const MeshView::Service& service,
                   uint16_t port, Route* route) {
  const std::string key = ServiceKey(service);
  if (!HasPort(service, port)) {
    route->steps.push_back(
        Step(explain_step::kServicePort, Outcome::kFailed,
             absl::StrCat("service ", key, " has no port ", port, "; it has ", PortsOf(service)),
             "use one of its ports, or add this one to the service"));
    return;
  }
  route->steps.push_back(Step(explain_step::kServicePort, Outcome::kOk,
                              absl::StrCat("service ", key, " has port ", port)));

  std::vector<RouteTarget> all, healthy;
  for (const MeshView::Workload& endpoint : view.EndpointsOf(service)) {
    const absl::optional<uint16_t> target = TargetPort(endpoint, service, port);
    const std::vector<IpAddress> addresses = MeshView::AddressesOf(endpoint);
    if (!target.has_value() || addresses.empty()) continue;
    all.push_back({endpoint, SocketAddress(AddressFor(source, addresses), *target)});
    const bool usable = endpoint.status() == istio::workload::HEALTHY ||
                        service.load_balancing().health_policy() == LoadBalancing::ALLOW_ALL;
    if (usable) healthy.push_back(all.back());
  }
  if (all.empty()) {
    route->steps.push_back(
        Step(explain_step::kEndpoint, Outcome::kFailed,
             absl::StrCat("no workload is an endpoint of port ", port, " of service ", key),
             absl::StrCat("list the service in \"services\" of the workloads that serve it")));
    return;
  }
  route->steps.push_back(Step(explain_step::kEndpoint, Outcome::kOk,
                              absl::StrCat("its endpoints are ", NamesOf(all))));
  if (healthy.empty()) {
    route->steps.push_back(Step(
        explain_step::kEndpointHealth, Outcome::kFailed,
        absl::StrCat("all endpoints are unhealthy: ", NamesOf(all)),
        "make one healthy again; \"health_policy\": \"ALLOW_ALL\" would use them all the same"));
    return;
  }
  route->steps.push_back(
      Step(explain_step::kEndpointHealth, Outcome::kOk,
           absl::StrCat(healthy.size(), " of ", all.size(), " endpoints are usable")));
  if (service.load_balancing().mode() == LoadBalancing::STRICT && source.in_mesh()) {
    std::vector<RouteTarget> near;
    for (const RouteTarget& target : healthy) {
      if (IsNear(service.load_balancing(), source, target.workload)) near.push_back(target);
    }
    if (near.empty()) {
      route->steps.push_back(
          Step(explain_step::kEndpointLocality, Outcome::kFailed,
               absl::StrCat("the service is STRICT, and no usable endpoint is "
                            "where ",
                            source.name, " is"),
               "use FAILOVER, or run an endpoint there; what has no place in the "
               "registry is near nothing"));
      return;
    }
    route->steps.push_back(Step(explain_step::kEndpointLocality, Outcome::kOk,
                                absl::StrCat("near enough: ", NamesOf(near))));
    healthy = std::move(near);
  }
  route->targets = std::move(healthy);
}

// A name that a service and a workload have in common, with a port that neither is known to have.
void FailAtPort(const Party& source, const MeshView::Service& service,
                const MeshView::Workload& workload, const std::string& name, uint16_t port,
                std::vector<ExplainStep>* steps) {
  const std::string key = ServiceKey(service);
  steps->push_back(
      Step(explain_step::kDestination, Outcome::kOk,
           absl::StrCat(name, " is service ", key, ", and workload ", workload.uid())));
  const std::set<uint32_t> targets = TargetPortsOf(workload);
  const std::string at_workload = absl::StrJoin(targets, ", ");
  std::string remedy =
      absl::StrCat("for the service use ", PortsOf(service), ", or add the port to it");
  if (!targets.empty()) absl::StrAppend(&remedy, "; for the workload use ", at_workload);
  const std::vector<IpAddress> addresses = MeshView::AddressesOf(workload);
  if (!addresses.empty()) {
    absl::StrAppend(&remedy, "; where the workload itself listens at ", port, ", ask for ",
                    SocketAddress(AddressFor(source, addresses), port).ToString());
  }
  steps->push_back(
      Step(explain_step::kServicePort, Outcome::kFailed,
           absl::StrCat("service ", key, " has no port ", port, "; it has ", PortsOf(service),
                        ". The workload of that name is not known to have it either: ",
                        targets.empty() ? "no service leads to it"
                                        : absl::StrCat("services lead to its ", at_workload)),
           std::move(remedy)));
}

ExplainStep UnreadableStep(const std::string& destination, absl::string_view kind,
                           const std::string& key) {
  return Step(explain_step::kDestination, Outcome::kFailed,
              absl::StrCat(destination, " is ", kind, " ", key,
                           ", whose record in the store cannot be read: proxies that do not have "
                           "it from before refuse connections to it"),
              absl::StrCat("apply it again (byrniectl ", kind, "s apply) or delete it; byrniectl ",
                           "check (stored-records) says what is wrong with it"));
}

}  // namespace

Route FindRoute(const MeshView& view, const Party& source, const std::string& destination,
                uint16_t port) {
  Route route;
  const absl::optional<MeshView::Service> service = view.FindService(destination);
  if (service.has_value() && view.IsUnreadable(ServiceKey(*service))) {
    route.steps.push_back(UnreadableStep(destination, "service", ServiceKey(*service)));
    return route;
  }
  const absl::optional<MeshView::Workload> workload = view.FindWorkload(destination);
  // "demo/server" may be both. Flows name workloads so, with the ports that applications have.
  const bool both = workload.has_value() && service.has_value() && !HasPort(*service, port);
  const bool workload_is_meant =
      both && (view.IsUnreadable(workload->uid()) || TargetPortsOf(*workload).count(port) > 0);
  if (both && !workload_is_meant) {
    FailAtPort(source, *service, *workload, destination, port, &route.steps);
    return route;
  }
  if (service.has_value() && !workload_is_meant) {
    route.steps.push_back(Step(explain_step::kDestination, Outcome::kOk,
                               absl::StrCat(destination, " is service ", ServiceKey(*service))));
    FindEndpoints(view, source, *service, port, &route);
    return route;
  }
  if (workload.has_value() && view.IsUnreadable(workload->uid())) {
    route.steps.push_back(UnreadableStep(destination, "workload", workload->uid()));
    return route;
  }
  if (workload.has_value()) {
    const absl::StatusOr<IpAddress> asked = IpAddress::Parse(destination);
    const std::vector<IpAddress> addresses = MeshView::AddressesOf(*workload);
    ExplainStep step = Step(explain_step::kDestination, Outcome::kOk,
                            absl::StrCat(destination, " is workload ", workload->uid()));
    if (workload_is_meant) {
      absl::StrAppend(&step.reason, ", to whose port ", port, " a service leads; service ",
                      ServiceKey(*service), " has no port ", port);
      // Who means the service gets nowhere, though all that follows is well.
      step.remedy = absl::StrCat("a connection to the service's address at port ", port,
                                 " fails; for the service use ", PortsOf(*service));
    }
    route.steps.push_back(std::move(step));
    route.targets.push_back(
        {*workload, SocketAddress(asked.ok() ? *asked : AddressFor(source, addresses), port)});
    return route;
  }
  route.steps.push_back(Step(
      explain_step::kDestination, Outcome::kFailed,
      absl::StrCat("the registry has neither a workload nor a service \"", destination,
                   "\": to the mesh it is outside, where proxies go in plaintext or not at all "
                   "(--outbound_policy)"),
      "put it into the registry; give an IP address, namespace/name or namespace/hostname"));
  return route;
}

ExplainStep ProtocolStep(const Party& source, const Party& destination) {
  const auto protocol = destination.workload->tunnel_protocol();
  const std::string name = istio::workload::TunnelProtocol_Name(protocol);
  if (protocol == istio::workload::NONE) {
    if (destination.in_mesh()) {
      return Step(
          explain_step::kProtocol, Outcome::kFailed,
          absl::StrCat("the registry says NONE of ", destination.name,
                       ", so that it is sent plaintext, but the agent of ",
                       destination.proven->text(), " is connected from it: its proxy takes HBONE"),
          "say \"tunnel_protocol\": \"HBONE\" in the registry");
    }
    return Step(explain_step::kProtocol, Outcome::kOk,
                absl::StrCat(destination.name,
                             " is outside the mesh (NONE): plain TCP, without "
                             "identities, and no policy of the mesh applies"));
  }
  if (!source.in_mesh()) {
    return Step(explain_step::kProtocol, Outcome::kOk,
                absl::StrCat(source.name, " is outside the mesh and comes in plaintext"));
  }
  return Step(explain_step::kProtocol, Outcome::kOk, absl::StrCat("both speak ", name));
}

ExplainStep InboundModeStep(const SocketAddress& target) {
  return Step(explain_step::kInboundMode, Outcome::kUnknown,
              absl::StrCat("the destination's proxy refuses plaintext unless it was started with "
                           "--mtls_mode=permissive, or port ",
                           target.port(), " with --mtls_port_modes; strict is the default"),
              "bring the source into the mesh, or let the port take plaintext");
}

}  // namespace byrnie
