#include "proxy/routing_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

RouteDecision Refused(const SocketAddress& destination, std::string service,
                      absl::string_view reason, std::string detail = "") {
  RouteDecision decision;
  decision.kind = RouteDecision::Kind::kNoEndpoint;
  decision.endpoint = destination;
  decision.service = std::move(service);
  decision.reason = reason;
  decision.detail = std::move(detail);
  return decision;
}

template <typename T>
std::map<std::string, T> Sorted(const ShardedMap<std::string, T>& map) {
  std::map<std::string, T> sorted;
  map.ForEach([&sorted](const std::string& key, const T& value) { sorted[key] = value; });
  return sorted;
}

}  // namespace

const Workload* RoutingTable::FindWorkload(const IpAddress& ip) const {
  const std::shared_ptr<const Workload>* found = workload_by_ip_.Find(ip);
  return found == nullptr ? nullptr : found->get();
}

const Service* RoutingTable::FindService(const IpAddress& ip) const {
  const std::shared_ptr<const ServiceRoutes>* found = service_by_ip_.Find(ip);
  return found == nullptr ? nullptr : (*found)->service.get();
}

std::map<std::string, std::shared_ptr<const Workload>> RoutingTable::workloads() const {
  return Sorted(workloads_);
}

std::map<std::string, std::shared_ptr<const Service>> RoutingTable::services() const {
  return Sorted(services_);
}

RouteDecision RoutingTable::Resolve(const SocketAddress& destination,
                                    absl::BitGenRef random) const {
  return Resolve(destination, random, [](const SocketAddress&) { return Standing::kUsable; });
}

RouteDecision RoutingTable::Resolve(const SocketAddress& destination, absl::BitGenRef random,
                                    Judge judge) const {
  const std::shared_ptr<const ServiceRoutes>* found = service_by_ip_.Find(destination.ip());
  if (found == nullptr || (*found)->service->balancing.mode == LoadBalancing::Mode::kPassthrough) {
    const Workload* workload = FindWorkload(destination.ip());
    if (workload != nullptr) return ToWorkload(*workload, destination, nullptr);
    RouteDecision unknown;
    unknown.endpoint = destination;
    return unknown;
  }

  const ServiceRoutes& routes = **found;
  if (routes.service->ports.count(destination.port()) == 0) {
    return Refused(destination, routes.key, route_reason::kUnknownServicePort);
  }
  const auto port = routes.ports.find(destination.port());
  if (port == routes.ports.end()) {
    return Refused(destination, routes.key, route_reason::kNoEndpoint);
  }
  const EndpointSet& endpoints = port->second;
  if (endpoints.size() == 0) {
    if (endpoints.unhealthy() > 0) {
      return Refused(destination, routes.key, route_reason::kNoHealthyEndpoint);
    }
    return Refused(destination, routes.key, route_reason::kNoEndpoint,
                   absl::StrCat("none of the ", endpoints.out_of_scope(),
                                " endpoints is where the service is strictly kept"));
  }
  const bool v4 = destination.ip().is_v4();
  const Endpoint* chosen = endpoints.Draw(random, [&](const Endpoint& endpoint) {
    return judge(endpoint.Address(v4)) == Standing::kUsable;
  });
  if (chosen == nullptr) {
    // All that can be done for a service whose endpoints have all just failed is to try them.
    chosen = endpoints.Draw(random, [&](const Endpoint& endpoint) {
      return judge(endpoint.Address(v4)) != Standing::kTried;
    });
  }
  if (chosen == nullptr) {
    return Refused(destination, routes.key, route_reason::kNoEndpoint, "all have been tried");
  }
  return ToWorkload(*chosen->workload, chosen->Address(v4), &routes);
}

RouteDecision RoutingTable::ToWorkload(const Workload& workload, const SocketAddress& endpoint,
                                       const ServiceRoutes* service) const {
  RouteDecision decision;
  decision.endpoint = endpoint;
  decision.workload = workload.uid;
  if (service != nullptr) decision.service = service->key;
  switch (workload.tunnel) {
    case Workload::Tunnel::kNone:
      decision.kind = RouteDecision::Kind::kPlaintext;
      return decision;
    case Workload::Tunnel::kLegacyMtls:
      decision.kind = RouteDecision::Kind::kDirectMtls;
      break;
    case Workload::Tunnel::kHbone:
      decision.kind = RouteDecision::Kind::kHbone;
      decision.tunnel = endpoint.WithPort(kHbonePort);
      break;
  }
  if (workload.identity.has_value()) decision.identities.push_back(*workload.identity);
  if (service != nullptr && !service->service->subject_alt_names.empty()) {
    std::vector<SpiffeId>& identities = decision.identities;
    identities.insert(identities.end(), service->service->subject_alt_names.begin(),
                      service->service->subject_alt_names.end());
    std::sort(identities.begin(), identities.end());
    identities.erase(std::unique(identities.begin(), identities.end()), identities.end());
  }
  return decision;
}

}  // namespace byrnie
