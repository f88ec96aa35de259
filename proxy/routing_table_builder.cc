#include "proxy/routing_table_builder.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "proxy/address_conversion.h"

namespace byrnie {
namespace {

// Takes the claim on an address back; true when somebody else's is left.
template <typename Claims, typename T>
bool Withdraw(const IpAddress& ip, const T& claimant, Claims* claims) {
  const auto found = claims->find(ip);
  if (found == claims->end()) return false;
  auto& list = found->second;
  list.erase(std::remove(list.begin(), list.end(), claimant), list.end());
  if (!list.empty()) return true;
  claims->erase(found);
  return false;
}

}  // namespace

std::vector<absl::Status> RoutingTableBuilder::Apply(const link::v1::AddressUpdate& update) {
  std::vector<absl::Status> rejected;
  if (update.replace_all()) DropAllBut(update);
  for (const std::string& key : update.removals()) {
    RemoveWorkload(key);
    RemoveService(key);
  }
  for (const istio::workload::Address& address : update.upserts()) {
    if (address.has_workload()) {
      absl::StatusOr<Workload> workload = ConvertWorkload(address.workload());
      if (workload.ok()) {
        PutWorkload(std::make_shared<const Workload>(*std::move(workload)));
      } else {
        rejected.push_back(workload.status());
      }
    } else if (address.has_service()) {
      absl::StatusOr<Service> service = ConvertService(address.service());
      if (service.ok()) {
        PutService(std::make_shared<const Service>(*std::move(service)));
      } else {
        rejected.push_back(service.status());
      }
    } else {
      rejected.push_back(absl::InvalidArgumentError("address is neither a workload nor a service"));
    }
  }
  return rejected;
}

void RoutingTableBuilder::DropAllBut(const link::v1::AddressUpdate& update) {
  // What the update names stays until its upsert: a bad one keeps its last good version.
  absl::flat_hash_set<std::string> named_workloads;
  absl::flat_hash_set<std::string> named_services;
  for (const istio::workload::Address& address : update.upserts()) {
    if (address.has_workload()) named_workloads.insert(address.workload().uid());
    if (address.has_service()) {
      named_services.insert(
          absl::StrCat(address.service().namespace_(), "/", address.service().hostname()));
    }
  }
  std::vector<std::string> gone;
  workloads_.ForEach([&](const std::string& uid, const auto&) {
    if (!named_workloads.contains(uid)) gone.push_back(uid);
  });
  for (const std::string& uid : gone) RemoveWorkload(uid);
  gone.clear();
  services_.ForEach([&](const std::string& key, const auto&) {
    if (!named_services.contains(key)) gone.push_back(key);
  });
  for (const std::string& key : gone) RemoveService(key);
}

void RoutingTableBuilder::PutWorkload(std::shared_ptr<const Workload> workload) {
  RemoveWorkload(workload->uid);
  for (const IpAddress& ip : workload->addresses) {
    workload_claims_[ip].push_back(workload);
    SettleOwner(ip);
  }
  for (const auto& [service, ports] : workload->services) {
    members_[service][workload->uid] = workload;
  }
  MarkServicesOf(*workload);
  workloads_.Put(workload->uid, workload);
}

void RoutingTableBuilder::RemoveWorkload(const std::string& uid) {
  const std::shared_ptr<const Workload>* found = workloads_.Find(uid);
  if (found == nullptr) return;
  const std::shared_ptr<const Workload> workload = *found;
  for (const IpAddress& ip : workload->addresses) {
    Withdraw(ip, workload, &workload_claims_);
    SettleOwner(ip);
  }
  for (const auto& [service, ports] : workload->services) {
    const auto members = members_.find(service);
    members->second.erase(workload->uid);
    if (members->second.empty()) members_.erase(members);
  }
  MarkServicesOf(*workload);
  workloads_.Erase(workload->uid);
}

void RoutingTableBuilder::SettleOwner(const IpAddress& ip) {
  const std::shared_ptr<const Workload>* known = workload_by_ip_.Find(ip);
  const std::shared_ptr<const Workload> before = known == nullptr ? nullptr : *known;
  const auto claims = workload_claims_.find(ip);
  const std::shared_ptr<const Workload> now =
      claims == workload_claims_.end() ? nullptr : claims->second.back();
  if (before == now) return;
  // Services reach their workloads only by addresses that are still theirs.
  if (before != nullptr) MarkServicesOf(*before);
  if (now != nullptr) {
    MarkServicesOf(*now);
    workload_by_ip_.Put(ip, now);
  } else {
    workload_by_ip_.Erase(ip);
  }
}

void RoutingTableBuilder::MarkServicesOf(const Workload& workload) {
  for (const auto& [service, ports] : workload.services) changed_.insert(service);
}

void RoutingTableBuilder::PutService(std::shared_ptr<const Service> service) {
  const std::string key = service->Key();
  RemoveService(key);
  // Its routes take the addresses over when they are made.
  for (const IpAddress& ip : service->vips) service_claims_[ip].push_back(service);
  changed_.insert(key);
  services_.Put(key, std::move(service));
}

void RoutingTableBuilder::RemoveService(const std::string& key) {
  const std::shared_ptr<const Service>* found = services_.Find(key);
  if (found == nullptr) return;
  const std::shared_ptr<const Service> service = *found;
  for (const IpAddress& ip : service->vips) {
    if (Withdraw(ip, service, &service_claims_)) {
      changed_.insert(service_claims_.at(ip).back()->Key());
    } else {
      service_by_ip_.Erase(ip);
    }
  }
  services_.Erase(service->Key());
}

void RoutingTableBuilder::SetOwnAddresses(const absl::flat_hash_set<IpAddress>& addresses) {
  own_addresses_.assign(addresses.begin(), addresses.end());
  std::sort(own_addresses_.begin(), own_addresses_.end());
}

void RoutingTableBuilder::FindOwnPlacement() {
  absl::optional<Placement> placement;
  for (const IpAddress& ip : own_addresses_) {
    const std::shared_ptr<const Workload>* own = workload_by_ip_.Find(ip);
    if (own == nullptr) continue;
    placement = (*own)->placement;
    break;
  }
  if (placement == own_placement_) return;
  own_placement_ = std::move(placement);
  services_.ForEach([this](const std::string& key, const std::shared_ptr<const Service>& service) {
    if (!service->balancing.preference.empty()) changed_.insert(key);
  });
}

std::shared_ptr<const ServiceRoutes> RoutingTableBuilder::MakeRoutes(
    const std::shared_ptr<const Service>& service, const std::string& key) const {
  auto routes = std::make_shared<ServiceRoutes>();
  routes->service = service;
  routes->key = key;
  const auto members = members_.find(key);
  if (members == members_.end()) return routes;
  absl::flat_hash_map<uint16_t, std::vector<Endpoint>> by_port;
  for (const auto& [uid, workload] : members->second) {
    Endpoint endpoint;
    const size_t count = std::min<size_t>(workload->addresses.size(), INT16_MAX);
    for (size_t i = 0; i < count; ++i) {
      const IpAddress& ip = workload->addresses[i];
      int16_t& first = ip.is_v4() ? endpoint.v4 : endpoint.v6;
      // Somebody else may have taken the address over: dialling it would reach the wrong workload.
      if (first < 0 && *workload_by_ip_.Find(ip) == workload) first = static_cast<int16_t>(i);
    }
    if (endpoint.v4 < 0 && endpoint.v6 < 0) continue;
    endpoint.workload = workload;
    for (const auto& [port, target_port] : workload->services.at(key)) {
      endpoint.target_port = target_port;
      by_port[port].push_back(endpoint);
    }
  }
  const Placement* own = own_placement_.has_value() ? &*own_placement_ : nullptr;
  for (auto& [port, endpoints] : by_port) {
    routes->ports.emplace(port, EndpointSet(std::move(endpoints), service->balancing, own));
  }
  return routes;
}

std::shared_ptr<const RoutingTable> RoutingTableBuilder::Build() {
  FindOwnPlacement();
  for (const std::string& key : changed_) {
    const std::shared_ptr<const Service>* service = services_.Find(key);
    if (service == nullptr) continue;
    const std::shared_ptr<const ServiceRoutes> routes = MakeRoutes(*service, key);
    for (const IpAddress& ip : (*service)->vips) {
      if (service_claims_.at(ip).back() == *service) service_by_ip_.Put(ip, routes);
    }
  }
  changed_.clear();
  auto table = std::make_shared<RoutingTable>();
  table->workloads_ = workloads_.Snapshot();
  table->services_ = services_.Snapshot();
  table->workload_by_ip_ = workload_by_ip_.Snapshot();
  table->service_by_ip_ = service_by_ip_.Snapshot();
  return table;
}

}  // namespace byrnie
