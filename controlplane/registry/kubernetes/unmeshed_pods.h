#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_UNMESHED_PODS_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_UNMESHED_PODS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"

namespace byrnie {

// Pods that should be meshed and are not: of a namespace that is, without a sidecar, and nobody has
// opted them out. They were made before their namespace's label or while no webhook was asked,
// they cannot be meshed, or the label says neither true nor false; either way what they send is
// plaintext. So are those that Istio's ambient mode has taken over beside their sidecar, which it
// says on the pod once that runs: nobody knows then whose redirect a connection takes. Each is
// logged once. Beside them those that somebody has opted out, which policies do
// not reach either, and those that bear the mark of Istio's ambient mode: whoever makes a pod can
// put it on, and whether its node's proxy has it nobody here can see. Lives on the informers' loop,
// but for names() and opted_out().
class UnmeshedPods {
 public:
  // With `istio_peers` pods in Istio's ambient mode are the mesh's own, and are left out. The
  // pointers outlive it.
  UnmeshedPods(Informer<Pod>* pods, Informer<LabelledObject>* namespaces, bool istio_peers,
               Logger* logger, MetricRegistry* metrics);
  UnmeshedPods(const UnmeshedPods&) = delete;
  UnmeshedPods& operator=(const UnmeshedPods&) = delete;

  // "shop/web-1", with why where the webhook has said it, in order. From any thread.
  std::vector<std::string> names() const;
  // "shop/web-1", those without a sidecar because somebody has said so, with what where it is not
  // byrnie.io/inject. From any thread.
  std::vector<std::string> opted_out() const;

 private:
  void OnNamespaces(const Informer<LabelledObject>::Changes& changes);
  // What byrnie.io/inject says of a namespace; "": nothing.
  std::string LabelOf(const std::string& ns) const;
  // `pod` is null where there is none any more; `label` is of its namespace.
  void Judge(const ObjectName& name, const Pod* pod, const std::string& label);

  Informer<Pod>* const pods_;                   // Not owned.
  Informer<LabelledObject>* const namespaces_;  // Not owned.
  const bool istio_peers_;
  Logger* const logger_;  // Not owned.
  Gauge* const count_;    // Not owned.
  mutable absl::Mutex mu_;
  std::map<ObjectName, std::string> found_ ABSL_GUARDED_BY(mu_);
  std::map<ObjectName, std::string> opted_out_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_UNMESHED_PODS_H_
