#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_CONVERSION_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_CONVERSION_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "controlplane/kubernetes/objects.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// Kubernetes objects as discovery has them. Pure functions of what they are given.

struct KubernetesMesh {
  std::string trust_domain;
  // Of all its workloads; empty: the only one.
  std::string cluster_id;
  std::string network;
  // Of services' names: "NAME.NAMESPACE.svc.cluster.local".
  std::string cluster_domain = "cluster.local";
  // Pods of Istio's verify ours and ours theirs, because both CAs have a root in common. Otherwise
  // what their sidecars speak is refused at both ends, and plaintext is all that is left.
  bool istio_peers = false;
};

// Annotation: weight among the endpoints of a service, 1 to 1000000.
inline constexpr absl::string_view kCapacityKey = "byrnie.io/capacity";
// Label of a pod, or of its namespace: the network it is in.
inline constexpr absl::string_view kNetworkKey = "byrnie.io/network";

// "namespace/hostname", as workloads name a service.
std::string ServiceKeyOf(const ObjectName& service, const KubernetesMesh& mesh);
// A workload's key, "CLUSTER//Pod/NAMESPACE/NAME", and that of an address that is no pod's.
std::string PodKey(const ObjectName& pod, const KubernetesMesh& mesh);
std::string AddressWorkloadKey(const IpAddress& ip, const KubernetesMesh& mesh);

// Absent for what no connection can be for: ExternalName, no TCP port. External addresses and those
// of load balancers are left out: whoever may write a Service could take any address with them.
absl::optional<istio::workload::Service> ToService(const KubeService& service,
                                                   const KubernetesMesh& mesh);

// A policy in force that is about those pods of its namespace that have all of these labels: at
// least one.
struct PolicySelector {
  ObjectName name;
  Labels labels;
  friend bool operator==(const PolicySelector& a, const PolicySelector& b) {
    return a.name == b.name && a.labels == b.labels;
  }
};
bool Selects(const PolicySelector& policy, const Pod& pod);

// What a slice says that one of its endpoints is: which ports of the service lead to which of its
// own. Named target ports have been looked up by whoever made the slice.
struct EndpointOf {
  const KubeService* service;
  const EndpointSlice* slice;
};

// A pod with these of its addresses, at most those it has; absent without any. `node` and `ns` may
// be null: not known. The same service by several slices (one per address family) is one.
// `policies` are those that select it, "namespace/name". `last`: these are services that have no
// endpoint but such as end, and it takes new connections of theirs while it serves.
absl::optional<istio::workload::Workload> ToWorkload(
    const Pod& pod, const std::vector<IpAddress>& addresses, const LabelledObject* node,
    const LabelledObject* ns, const std::vector<EndpointOf>& endpoint_of, bool last,
    const std::vector<std::string>& policies, const KubernetesMesh& mesh);

// An address that services lead to and that is no pod's own: of a node, whose pods on the host's
// network share it, or outside the cluster. Nobody proves an identity there: plain TCP.
istio::workload::Workload ToAddressWorkload(const IpAddress& ip, const std::string& node_name,
                                            const LabelledObject* node,
                                            const std::vector<EndpointOf>& endpoint_of,
                                            const KubernetesMesh& mesh);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_CONVERSION_H_
