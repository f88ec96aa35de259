#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_TESTING_CLUSTER_OBJECTS_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_TESTING_CLUSTER_OBJECTS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "controlplane/kubernetes/objects.h"

namespace byrnie {

// Good objects of a cluster, to be changed. All are of namespace "demo" and node "n1".

inline IpAddress IpOf(absl::string_view text) { return *IpAddress::Parse(text); }

// Ready, with our sidecar, of a service account of its own name; its uid is the name with "-uid".
inline Pod PodOf(const std::string& name, absl::string_view ip) {
  Pod pod;
  pod.name = {"demo", name};
  pod.uid = absl::StrCat(name, "-uid");
  pod.service_account = name;
  pod.node = "n1";
  pod.ips = {IpOf(ip)};
  pod.ready = true;
  pod.injected = true;
  pod.created = absl::FromUnixSeconds(1893456000);
  return pod;
}

// Port 80, called "http".
inline KubeService ServiceOf(const std::string& name, absl::string_view ip) {
  KubeService service;
  service.name = {"demo", name};
  service.cluster_ips = {IpOf(ip)};
  service.ports = {{"http", 80}};
  return service;
}

// Of a service, with port 8080 and these pods.
inline EndpointSlice SliceOf(const std::string& service, const std::vector<Pod>& pods) {
  EndpointSlice slice;
  slice.name = {"demo", absl::StrCat(service, "-slice")};
  slice.service = service;
  slice.ports = {{"http", 8080}};
  for (const Pod& pod : pods) {
    slice.endpoints.push_back({{pod.ips.front()}, pod.ready, pod.uid, pod.node});
  }
  return slice;
}

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_TESTING_CLUSTER_OBJECTS_H_
