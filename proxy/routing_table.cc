#include "proxy/routing_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/status/statusor.h"
#include "byrnie/link/v1/link.pb.h"
#include "proxy/address_conversion.h"

namespace byrnie {
namespace {

// The values of `entries` from the oldest upsert to the latest.
template <typename Entries>
auto InOrderOfArrival(const Entries& entries) {
  using Entry = typename Entries::mapped_type;
  std::vector<const Entry*> ordered;
  ordered.reserve(entries.size());
  for (const auto& [key, entry] : entries) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(),
            [](const Entry* a, const Entry* b) { return a->sequence < b->sequence; });
  return ordered;
}

RouteDecision Refused(const SocketAddress& destination, std::string service,
                      absl::string_view reason) {
  RouteDecision decision;
  decision.kind = RouteDecision::Kind::kNoEndpoint;
  decision.endpoint = destination;
  decision.service = std::move(service);
  decision.reason = reason;
  return decision;
}

}  // namespace

const Workload* RoutingTable::FindWorkload(const IpAddress& ip) const {
  const auto found = workload_by_ip_.find(ip);
  return found == workload_by_ip_.end() ? nullptr : found->second;
}

const Service* RoutingTable::FindService(const IpAddress& ip) const {
  const auto found = service_by_ip_.find(ip);
  return found == service_by_ip_.end() ? nullptr : found->second;
}

const IpAddress* RoutingTable::AddressOf(const Workload& workload, bool prefer_v4) const {
  const IpAddress* other_family = nullptr;
  for (const IpAddress& address : workload.addresses) {
    // Somebody else has taken the address over: dialling it would reach the wrong workload.
    if (FindWorkload(address) != &workload) continue;
    if (address.is_v4() == prefer_v4) return &address;
    if (other_family == nullptr) other_family = &address;
  }
  return other_family;
}

RouteDecision RoutingTable::Resolve(const SocketAddress& destination,
                                    absl::BitGenRef random) const {
  const Service* service = FindService(destination.ip());
  if (service == nullptr) {
    const Workload* workload = FindWorkload(destination.ip());
    if (workload != nullptr) return ToWorkload(*workload, destination, nullptr);
    RouteDecision unknown;
    unknown.endpoint = destination;
    return unknown;
  }

  const std::string key = service->Key();
  if (service->ports.count(destination.port()) == 0) {
    return Refused(destination, key, route_reason::kUnknownServicePort);
  }
  const auto routes = routes_.find(service);
  if (routes == routes_.end()) return Refused(destination, key, route_reason::kNoEndpoint);
  const auto endpoints = routes->second.find(destination.port());
  if (endpoints == routes->second.end()) {
    return Refused(destination, key, route_reason::kNoEndpoint);
  }
  const uint64_t total = endpoints->second.back().weight_end;
  if (total == 0) return Refused(destination, key, route_reason::kNoHealthyEndpoint);
  const uint64_t ticket = absl::Uniform<uint64_t>(random, 0, total);
  const auto chosen = std::upper_bound(
      endpoints->second.begin(), endpoints->second.end(), ticket,
      [](uint64_t value, const Endpoint& endpoint) { return value < endpoint.weight_end; });
  // Build leaves out workloads without an address of their own.
  const IpAddress* address = AddressOf(*chosen->workload, destination.ip().is_v4());
  return ToWorkload(*chosen->workload, SocketAddress(*address, chosen->target_port), service);
}

RouteDecision RoutingTable::ToWorkload(const Workload& workload, const SocketAddress& endpoint,
                                       const Service* service) const {
  RouteDecision decision;
  decision.endpoint = endpoint;
  decision.workload = workload.uid;
  if (service != nullptr) decision.service = service->Key();
  switch (workload.tunnel) {
    case Workload::Tunnel::kNone:
      decision.kind = RouteDecision::Kind::kPlaintext;
      return decision;
    case Workload::Tunnel::kLegacyMtls:
      decision.kind = RouteDecision::Kind::kNoEndpoint;
      decision.reason = route_reason::kUnsupportedTunnel;
      return decision;
    case Workload::Tunnel::kHbone:
      break;
  }
  decision.kind = RouteDecision::Kind::kHbone;
  decision.tunnel = SocketAddress(endpoint.ip(), kHbonePort);
  std::set<SpiffeId> identities;
  if (workload.identity.has_value()) identities.insert(*workload.identity);
  if (service != nullptr) {
    identities.insert(service->subject_alt_names.begin(), service->subject_alt_names.end());
  }
  decision.identities.assign(identities.begin(), identities.end());
  return decision;
}

std::vector<absl::Status> RoutingTableBuilder::Apply(const link::v1::AddressUpdate& update) {
  std::vector<absl::Status> rejected;
  // Entries of before a replace_all, until their upsert comes: a bad one keeps its last good
  // version.
  std::map<std::string, Entry<Workload>> old_workloads;
  std::map<std::string, Entry<Service>> old_services;
  if (update.replace_all()) {
    old_workloads.swap(workloads_);
    old_services.swap(services_);
  }
  for (const std::string& key : update.removals()) {
    workloads_.erase(key);
    services_.erase(key);
    old_workloads.erase(key);
    old_services.erase(key);
  }
  for (const istio::workload::Address& address : update.upserts()) {
    ++sequence_;
    if (address.has_workload()) {
      absl::StatusOr<Workload> workload = ConvertWorkload(address.workload());
      if (workload.ok()) {
        std::string uid = workload->uid;
        workloads_[std::move(uid)] = {std::make_shared<const Workload>(*std::move(workload)),
                                      sequence_};
        continue;
      }
      rejected.push_back(workload.status());
      const auto old = old_workloads.find(address.workload().uid());
      if (old != old_workloads.end()) workloads_.insert(*old);
    } else if (address.has_service()) {
      absl::StatusOr<Service> service = ConvertService(address.service());
      if (service.ok()) {
        std::string key = service->Key();
        services_[std::move(key)] = {std::make_shared<const Service>(*std::move(service)),
                                     sequence_};
        continue;
      }
      rejected.push_back(service.status());
      const auto old =
          old_services.find(address.service().namespace_() + "/" + address.service().hostname());
      if (old != old_services.end()) services_.insert(*old);
    } else {
      rejected.push_back(absl::InvalidArgumentError("address is neither a workload nor a service"));
    }
  }
  return rejected;
}

std::shared_ptr<const RoutingTable> RoutingTableBuilder::Build() const {
  auto table = std::make_shared<RoutingTable>();
  for (const auto* entry : InOrderOfArrival(services_)) {
    const Service* service = entry->value.get();
    table->services_[service->Key()] = entry->value;
    for (const IpAddress& vip : service->vips) table->service_by_ip_[vip] = service;
  }
  for (const auto* entry : InOrderOfArrival(workloads_)) {
    const Workload* workload = entry->value.get();
    table->workloads_[workload->uid] = entry->value;
    for (const IpAddress& ip : workload->addresses) table->workload_by_ip_[ip] = workload;
  }
  // By uid rather than by arrival, so that a re-sent workload does not change which ticket draws
  // whom.
  for (const auto& [uid, workload] : table->workloads_) {
    if (table->AddressOf(*workload, true) == nullptr) continue;
    for (const auto& [key, ports] : workload->services) {
      const auto service = table->services_.find(key);
      if (service == table->services_.end()) continue;
      for (const auto& [service_port, target_port] : ports) {
        auto& endpoints = table->routes_[service->second.get()][service_port];
        const uint64_t before = endpoints.empty() ? 0 : endpoints.back().weight_end;
        endpoints.push_back(
            {workload.get(), target_port, before + (workload->healthy ? workload->capacity : 0)});
      }
    }
  }
  return table;
}

}  // namespace byrnie
