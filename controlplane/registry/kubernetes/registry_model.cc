#include "controlplane/registry/kubernetes/registry_model.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// Takes an entry out of an index, and the key with the last one.
template <typename Index, typename Key, typename Value>
void Erase(Index* index, const Key& key, const Value& value) {
  const auto found = index->find(key);
  if (found == index->end()) return;
  found->second.erase(value);
  if (found->second.empty()) index->erase(found);
}

template <typename Index, typename Key, typename Value>
void AddOrErase(bool add, Index* index, const Key& key, const Value& value) {
  if (add) {
    (*index)[key].insert(value);
  } else {
    Erase(index, key, value);
  }
}

template <typename Map, typename Change>
void Keep(Map* map, const Change& change) {
  if (change.after == nullptr) {
    map->erase(change.name);
  } else {
    (*map)[change.name] = change.after;
  }
}

bool Claims(const Pod& pod) { return !pod.host_network && !pod.finished; }

bool EndsAndServes(const Pod& pod) { return pod.terminating && pod.ready && !pod.finished; }

// 169.254.169.254, a cloud's metadata, is one of them.
bool IsOfALink(const IpAddress& ip) { return ip.IsLinkLocal() || ip.IsIpv4LinkLocal(); }

bool HasOneOf(const Pod& pod, const std::vector<IpAddress>& ips) {
  return std::any_of(ips.begin(), ips.end(), [&pod](const IpAddress& ip) {
    return std::find(pod.ips.begin(), pod.ips.end(), ip) != pod.ips.end();
  });
}

}  // namespace

void RegistryModel::TouchIp(const IpAddress& ip) {
  touched_ips_.insert(ip);
  const auto claims = claims_.find(ip);
  if (claims == claims_.end()) return;
  touched_pods_.insert(claims->second.begin(), claims->second.end());
}

void RegistryModel::TouchPod(const Pod& pod) {
  touched_pods_.insert(pod.name);
  for (const IpAddress& ip : pod.ips) TouchIp(ip);
  // Where slices say it is, too, which may be late.
  const auto slices = slices_of_uid_.find(pod.uid);
  if (slices == slices_of_uid_.end()) return;
  for (const ObjectName& name : slices->second) {
    for (const SliceEndpoint& endpoint : slices_.at(name)->endpoints) {
      if (endpoint.pod_uid != pod.uid) continue;
      for (const IpAddress& ip : endpoint.ips) TouchIp(ip);
    }
  }
}

void RegistryModel::TouchSlice(const EndpointSlice& slice) {
  for (const SliceEndpoint& endpoint : slice.endpoints) {
    const auto pod = pod_by_uid_.find(endpoint.pod_uid);
    if (pod != pod_by_uid_.end()) touched_pods_.insert(pod->second);
    for (const IpAddress& ip : endpoint.ips) TouchIp(ip);
  }
}

void RegistryModel::IndexPod(const PodPtr& pod, bool add) {
  if (pod == nullptr) return;
  if (add) {
    pod_by_uid_[pod->uid] = pod->name;
  } else {
    pod_by_uid_.erase(pod->uid);
  }
  if (add && EndsAndServes(*pod)) {
    ending_.insert(pod->name);
  } else {
    ending_.erase(pod->name);
  }
  if (!pod->node.empty()) AddOrErase(add, &pods_on_node_, pod->node, pod->name);
  if (!Claims(*pod)) return;
  for (const IpAddress& ip : pod->ips) AddOrErase(add, &claims_, ip, pod->name);
}

void RegistryModel::OnPods(const Informer<Pod>::Changes& changes) {
  for (const ObjectChange<Pod>& change : changes) {
    for (const PodPtr& pod : {change.before, change.after}) {
      if (pod != nullptr) TouchPod(*pod);
    }
    IndexPod(change.before, /*add=*/false);
    IndexPod(change.after, /*add=*/true);
    Keep(&pods_, change);
    // Also who claims the addresses now.
    if (change.after != nullptr) TouchPod(*change.after);
  }
}

void RegistryModel::OnServices(const Informer<KubeService>::Changes& changes) {
  for (const auto& change : changes) {
    touched_services_.insert(change.name);
    Keep(&services_, change);
    const auto slices = slices_of_service_.find(change.name);
    if (slices == slices_of_service_.end()) continue;
    for (const ObjectName& slice : slices->second) TouchSlice(*slices_.at(slice));
  }
}

void RegistryModel::IndexSlice(const SlicePtr& slice, bool add) {
  if (slice == nullptr) return;
  AddOrErase(add, &slices_of_service_, ObjectName{slice->name.ns, slice->service}, slice->name);
  for (const SliceEndpoint& endpoint : slice->endpoints) {
    if (!endpoint.pod_uid.empty()) {
      AddOrErase(add, &slices_of_uid_, endpoint.pod_uid, slice->name);
    }
    if (!endpoint.node.empty()) AddOrErase(add, &slices_on_node_, endpoint.node, slice->name);
    for (const IpAddress& ip : endpoint.ips) AddOrErase(add, &slices_of_ip_, ip, slice->name);
  }
}

void RegistryModel::OnSlices(const Informer<EndpointSlice>::Changes& changes) {
  for (const auto& change : changes) {
    if (change.before != nullptr) TouchSlice(*change.before);
    if (change.after != nullptr) TouchSlice(*change.after);
    IndexSlice(change.before, /*add=*/false);
    IndexSlice(change.after, /*add=*/true);
    Keep(&slices_, change);
  }
}

void RegistryModel::OnNodes(const Informer<LabelledObject>::Changes& changes) {
  for (const auto& change : changes) {
    Keep(&nodes_, change);
    const auto pods = pods_on_node_.find(change.name.name);
    if (pods != pods_on_node_.end()) {
      touched_pods_.insert(pods->second.begin(), pods->second.end());
    }
    const auto slices = slices_on_node_.find(change.name.name);
    if (slices == slices_on_node_.end()) continue;
    for (const ObjectName& slice : slices->second) TouchSlice(*slices_.at(slice));
  }
}

void RegistryModel::OnNamespaces(const Informer<LabelledObject>::Changes& changes) {
  for (const auto& change : changes) {
    Keep(&namespaces_, change);
    for (auto pod = pods_.lower_bound({change.name.name, ""});
         pod != pods_.end() && pod->first.ns == change.name.name; ++pod) {
      touched_pods_.insert(pod->first);
    }
  }
}

void RegistryModel::TouchSelected(const PolicySelector* policy) {
  if (policy == nullptr) return;
  for (auto pod = pods_.lower_bound({policy->name.ns, ""});
       pod != pods_.end() && pod->first.ns == policy->name.ns; ++pod) {
    if (Selects(*policy, *pod->second)) touched_pods_.insert(pod->first);
  }
}

void RegistryModel::OnPolicies(const Informer<PolicySelector>::Changes& changes) {
  for (const auto& change : changes) {
    Keep(&policies_, change);
    TouchSelected(change.before.get());
    TouchSelected(change.after.get());
  }
}

std::vector<std::string> RegistryModel::PoliciesOf(const Pod& pod) const {
  std::vector<std::string> found;
  for (auto policy = policies_.lower_bound({pod.name.ns, ""});
       policy != policies_.end() && policy->first.ns == pod.name.ns; ++policy) {
    if (!Selects(*policy->second, pod)) continue;
    found.push_back(absl::StrCat(policy->first.ns, "/", policy->first.name));
  }
  return found;
}

const Pod* RegistryModel::OwnerOf(const IpAddress& ip) const {
  const auto claims = claims_.find(ip);
  if (claims == claims_.end()) return nullptr;
  const auto rank = [](const Pod* pod) {
    return std::make_tuple(!pod->terminating, pod->created, pod->uid);
  };
  const Pod* owner = nullptr;
  for (const ObjectName& name : claims->second) {
    const Pod* const pod = pods_.at(name).get();
    if (owner == nullptr || rank(owner) < rank(pod)) owner = pod;
  }
  return owner;
}

void RegistryModel::AddEndpoint(const ObjectName& slice_name,
                                std::vector<EndpointOf>* found) const {
  const EndpointSlice& slice = *slices_.at(slice_name);
  const auto service = services_.find({slice.name.ns, slice.service});
  if (service == services_.end() || !ToService(*service->second, mesh_).has_value()) return;
  found->push_back({service->second.get(), &slice});
}

std::vector<EndpointOf> RegistryModel::EndpointsOf(const Pod& pod) const {
  std::set<ObjectName> slices;
  const auto by_uid = slices_of_uid_.find(pod.uid);
  if (by_uid != slices_of_uid_.end()) {
    // What a slice says of a pod's uid counts in the pod's namespace alone, whose writers may say
    // so, and for an address that the pod has: it is there that a node's proxy leads to.
    for (const ObjectName& name : by_uid->second) {
      if (name.ns != pod.name.ns) continue;
      for (const SliceEndpoint& endpoint : slices_.at(name)->endpoints) {
        if (endpoint.pod_uid == pod.uid && HasOneOf(pod, endpoint.ips)) slices.insert(name);
      }
    }
  }
  // Slices that somebody made by hand name addresses alone.
  for (const IpAddress& ip : pod.ips) {
    const auto by_ip = slices_of_ip_.find(ip);
    if (by_ip == slices_of_ip_.end() || OwnerOf(ip) != &pod) continue;
    for (const ObjectName& name : by_ip->second) {
      for (const SliceEndpoint& endpoint : slices_.at(name)->endpoints) {
        const bool here =
            std::find(endpoint.ips.begin(), endpoint.ips.end(), ip) != endpoint.ips.end();
        if (here && endpoint.pod_uid.empty()) slices.insert(name);
      }
    }
  }
  std::vector<EndpointOf> found;
  for (const ObjectName& name : slices) AddEndpoint(name, &found);
  return found;
}

std::vector<EndpointOf> RegistryModel::EndpointsAt(const IpAddress& ip, std::string* node) const {
  std::vector<EndpointOf> found;
  const auto by_ip = slices_of_ip_.find(ip);
  if (by_ip == slices_of_ip_.end()) return found;
  for (const ObjectName& name : by_ip->second) {
    for (const SliceEndpoint& endpoint : slices_.at(name)->endpoints) {
      const bool here =
          std::find(endpoint.ips.begin(), endpoint.ips.end(), ip) != endpoint.ips.end();
      // Several pods share the address: one that is not ready is left out alone.
      if (!here || !endpoint.ready) continue;
      if (!endpoint.pod_uid.empty()) {
        const auto pod = pod_by_uid_.find(endpoint.pod_uid);
        if (pod == pod_by_uid_.end() || !pods_.at(pod->second)->host_network) continue;
      }
      *node = endpoint.node;
      AddEndpoint(name, &found);
      break;
    }
  }
  return found;
}

const LabelledObject* RegistryModel::Node(const std::string& name) const {
  const auto found = nodes_.find({"", name});
  return found == nodes_.end() ? nullptr : found->second.get();
}

bool RegistryModel::HasReadyEndpoint(const ObjectName& service, const std::string& node) const {
  const auto slices = slices_of_service_.find(service);
  if (slices == slices_of_service_.end()) return false;
  for (const ObjectName& name : slices->second) {
    for (const SliceEndpoint& endpoint : slices_.at(name)->endpoints) {
      if (!node.empty() && endpoint.node != node) continue;
      const auto known = pod_by_uid_.find(endpoint.pod_uid);
      const Pod* const pod = known == pod_by_uid_.end() ? nullptr : pods_.at(known->second).get();
      // As it is made into a workload: a pod by its own state, an address by the slice's.
      if (pod != nullptr && !pod->host_network) {
        if (pod->ready && !pod->terminating && !pod->finished) return true;
      } else if (endpoint.ready && (pod != nullptr || endpoint.pod_uid.empty())) {
        return true;
      }
    }
  }
  return false;
}

bool RegistryModel::KeepLast(const Pod& pod, std::vector<EndpointOf>* endpoints,
                             ReadyServices* known) const {
  if (!EndsAndServes(pod)) return false;
  const auto has_others = [&](const KubeService& service) {
    const std::string node = service.node_local ? pod.node : "";
    const auto cached = known->emplace(std::make_pair(service.name, node), false);
    if (cached.second) cached.first->second = HasReadyEndpoint(service.name, node);
    return cached.first->second;
  };
  std::vector<EndpointOf> kept;
  bool last = false;
  for (const EndpointOf& endpoint : *endpoints) {
    const bool needed = !has_others(*endpoint.service);
    last |= needed;
    // Whose clients ask for all, ready or not, have it anyway.
    if (needed || endpoint.service->publish_not_ready) kept.push_back(endpoint);
  }
  if (last) *endpoints = std::move(kept);
  return last;
}

RegistryModel::Update RegistryModel::TakeUpdate() {
  Update update;
  ReadyServices ready;
  touched_pods_.insert(ending_.begin(), ending_.end());
  for (const ObjectName& name : touched_services_) {
    auto& slot = update.services[ServiceKeyOf(name, mesh_)];
    const auto service = services_.find(name);
    if (service == services_.end()) continue;
    absl::optional<istio::workload::Service> made = ToService(*service->second, mesh_);
    if (made.has_value()) slot = std::make_unique<istio::workload::Service>(*std::move(made));
  }
  for (const ObjectName& name : touched_pods_) {
    auto& slot = update.workloads[PodKey(name, mesh_)];
    const auto found = pods_.find(name);
    if (found == pods_.end()) continue;
    const Pod& pod = *found->second;
    std::vector<IpAddress> own;
    for (const IpAddress& ip : pod.ips) {
      if (OwnerOf(ip) == &pod) own.push_back(ip);
    }
    const auto ns = namespaces_.find({"", pod.name.ns});
    std::vector<EndpointOf> endpoints = EndpointsOf(pod);
    const bool last = KeepLast(pod, &endpoints, &ready);
    absl::optional<istio::workload::Workload> made =
        ToWorkload(pod, own, Node(pod.node), ns == namespaces_.end() ? nullptr : ns->second.get(),
                   endpoints, last, PoliciesOf(pod), mesh_);
    if (made.has_value()) slot = std::make_unique<istio::workload::Workload>(*std::move(made));
  }
  for (const IpAddress& ip : touched_ips_) {
    auto& slot = update.workloads[AddressWorkloadKey(ip, mesh_)];
    if (OwnerOf(ip) != nullptr) continue;
    std::string node;
    const std::vector<EndpointOf> endpoints = EndpointsAt(ip, &node);
    // Whoever may write slices does not make a cloud's metadata address a part of the mesh.
    if (endpoints.empty() || ip.IsLoopback() || ip.IsUnspecified() || IsOfALink(ip)) continue;
    slot = std::make_unique<istio::workload::Workload>(
        ToAddressWorkload(ip, node, Node(node), endpoints, mesh_));
  }
  touched_services_.clear();
  touched_pods_.clear();
  touched_ips_.clear();
  return update;
}

}  // namespace byrnie
