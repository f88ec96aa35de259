#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_REGISTRY_MODEL_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_REGISTRY_MODEL_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"
#include "controlplane/registry/kubernetes/conversion.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// What a cluster's objects come to, kept up as they change: a change costs what depends on it. Not
// thread-safe; does nothing by itself.
//
// An address is one pod's, whatever the objects say meanwhile: of several that claim it, one that
// is not on its way out, then the younger one. An endpoint is the pod that its slice names by uid:
// an address that has become another pod's does not carry the first one's services with it, and an
// endpoint whose pod is not known (any more, or yet) is nobody's.
//
// A pod that has been told to end and still serves is an endpoint of those services alone that have
// none that is ready, as for Kubernetes' own proxy; of others it is again only when those have
// ended.
class RegistryModel {
 public:
  explicit RegistryModel(KubernetesMesh mesh) : mesh_(std::move(mesh)) {}
  RegistryModel(const RegistryModel&) = delete;
  RegistryModel& operator=(const RegistryModel&) = delete;

  void OnPods(const Informer<Pod>::Changes& changes);
  void OnServices(const Informer<KubeService>::Changes& changes);
  void OnSlices(const Informer<EndpointSlice>::Changes& changes);
  void OnNodes(const Informer<LabelledObject>::Changes& changes);
  void OnNamespaces(const Informer<LabelledObject>::Changes& changes);
  void OnPolicies(const Informer<PolicySelector>::Changes& changes);

  // What is to be there, by key, of all that may have changed since the last call; null: not there.
  struct Update {
    std::map<std::string, std::unique_ptr<istio::workload::Workload>> workloads;
    std::map<std::string, std::unique_ptr<istio::workload::Service>> services;
    bool empty() const { return workloads.empty() && services.empty(); }
  };
  Update TakeUpdate();

 private:
  using PodPtr = std::shared_ptr<const Pod>;
  using SlicePtr = std::shared_ptr<const EndpointSlice>;
  using LabelledPtr = std::shared_ptr<const LabelledObject>;

  void IndexPod(const PodPtr& pod, bool add);
  void IndexSlice(const SlicePtr& slice, bool add);
  void TouchPod(const Pod& pod);
  void TouchSlice(const EndpointSlice& slice);
  void TouchIp(const IpAddress& ip);

  // Whose address it is; null: no pod's of its own.
  const Pod* OwnerOf(const IpAddress& ip) const;
  std::vector<EndpointOf> EndpointsOf(const Pod& pod) const;
  // Those at an address that no pod owns.
  std::vector<EndpointOf> EndpointsAt(const IpAddress& ip, std::string* node) const;
  void AddEndpoint(const ObjectName& slice, std::vector<EndpointOf>* found) const;
  // Whether a service has one that takes new connections, on that node if it is not "". Those of
  // pods that end are none.
  bool HasReadyEndpoint(const ObjectName& service, const std::string& node) const;
  // By service and node, what HasReadyEndpoint() has said.
  using ReadyServices = std::map<std::pair<ObjectName, std::string>, bool>;
  // Of a pod that ends and serves: takes out services that have others. False: it is needed by none
  // of them, and nothing is taken out.
  bool KeepLast(const Pod& pod, std::vector<EndpointOf>* endpoints, ReadyServices* known) const;
  // The policies that select it.
  std::vector<std::string> PoliciesOf(const Pod& pod) const;
  void TouchSelected(const PolicySelector* policy);
  const LabelledObject* Node(const std::string& name) const;

  const KubernetesMesh mesh_;
  std::map<ObjectName, PodPtr> pods_;
  std::map<ObjectName, std::shared_ptr<const KubeService>> services_;
  std::map<ObjectName, SlicePtr> slices_;
  std::map<ObjectName, LabelledPtr> nodes_, namespaces_;
  std::map<ObjectName, std::shared_ptr<const PolicySelector>> policies_;

  std::map<std::string, ObjectName> pod_by_uid_;
  // Pods that claim an address as their own; those of the host's network do not.
  std::map<IpAddress, std::set<ObjectName>> claims_;
  std::map<std::string, std::set<ObjectName>> pods_on_node_;
  // Pods that have been told to end and serve: what they are depends on all others of their
  // services, and they are few.
  std::set<ObjectName> ending_;
  // Slices by what their endpoints name, by service and by node.
  std::map<std::string, std::set<ObjectName>> slices_of_uid_;
  std::map<IpAddress, std::set<ObjectName>> slices_of_ip_;
  std::map<ObjectName, std::set<ObjectName>> slices_of_service_;
  std::map<std::string, std::set<ObjectName>> slices_on_node_;

  std::set<ObjectName> touched_pods_, touched_services_;
  std::set<IpAddress> touched_ips_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_REGISTRY_MODEL_H_
