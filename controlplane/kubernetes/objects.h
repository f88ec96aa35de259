#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_OBJECTS_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_OBJECTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/json.h"
#include "common/net/socket_address.h"
#include "controlplane/kubernetes/informer.h"

namespace byrnie {

// Kubernetes objects as far as the mesh needs them. Values. Reading fails with InvalidArgument that
// names the object's member where a member has not the type that the API gives it; members that are
// not known are passed over, and an enumeration's unknown value is never the permissive one.

using Labels = std::map<std::string, std::string>;

struct Pod {
  ObjectName name;
  std::string uid;
  std::string service_account;
  std::string node;
  std::vector<IpAddress> ips;
  // Its node's.
  std::vector<IpAddress> host_ips;
  bool host_network = false;
  // Its containers have ended, or never run: its addresses may be another pod's.
  bool finished = false;
  bool ready = false;
  // It has been told to end.
  bool terminating = false;
  absl::Time created;
  Labels labels;
  // The injector has put our sidecar into it, and its annotation byrnie.io/status: both are there.
  bool injected = false;
  // Those that are looked at.
  Labels annotations;
  // Kind and name of the controller that made it; empty: nobody did.
  std::string owner_kind, owner_name;
};
bool operator==(const Pod& a, const Pod& b);
absl::StatusOr<Pod> ParsePod(const JsonValue& value);

struct ServicePort {
  std::string name;
  uint32_t port = 0;
  friend bool operator==(const ServicePort& a, const ServicePort& b) {
    return a.port == b.port && a.name == b.name;
  }
};

struct KubeService {
  ObjectName name;
  // None for one without ("headless").
  std::vector<IpAddress> cluster_ips;
  // Those of TCP.
  std::vector<ServicePort> ports;
  // It stands for a DNS name elsewhere.
  bool external_name = false;
  bool publish_not_ready = false;
  // internalTrafficPolicy: Local.
  bool node_local = false;
  // trafficDistribution, as it is.
  std::string distribution;
};
bool operator==(const KubeService& a, const KubeService& b);
absl::StatusOr<KubeService> ParseService(const JsonValue& value);

struct SliceEndpoint {
  std::vector<IpAddress> ips;
  bool ready = false;
  // Uid of the pod it is; empty where it is none.
  std::string pod_uid;
  std::string node;
  friend bool operator==(const SliceEndpoint& a, const SliceEndpoint& b) {
    return a.ips == b.ips && a.ready == b.ready && a.pod_uid == b.pod_uid && a.node == b.node;
  }
};

// Of discovery.k8s.io/v1 or v1beta1.
struct EndpointSlice {
  ObjectName name;
  // Of the same namespace; empty: of none.
  std::string service;
  // Those of TCP; `port` is the endpoints'.
  std::vector<ServicePort> ports;
  std::vector<SliceEndpoint> endpoints;
};
bool operator==(const EndpointSlice& a, const EndpointSlice& b);
absl::StatusOr<EndpointSlice> ParseEndpointSlice(const JsonValue& value);

// A Node or a Namespace: what its labels say.
struct LabelledObject {
  ObjectName name;
  Labels labels;
  // It is being deleted: nothing can be made in it any more.
  bool terminating = false;
  friend bool operator==(const LabelledObject& a, const LabelledObject& b) {
    return a.name == b.name && a.labels == b.labels && a.terminating == b.terminating;
  }
};
// Keeps the labels that the mesh looks at, of the topology and its own.
absl::StatusOr<LabelledObject> ParseLabelledObject(const JsonValue& value);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_OBJECTS_H_
