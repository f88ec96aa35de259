#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_KUBERNETES_SOURCE_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_KUBERNETES_SOURCE_H_

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"
#include "controlplane/registry/kubernetes/conversion.h"
#include "controlplane/registry/kubernetes/registry_model.h"
#include "controlplane/registry/registry_sources.h"

namespace byrnie {

// Feeds the registry, as one of its sources, from the objects of a cluster. Nothing is published
// before all of them have been listed once, because half a cluster would look like one whose other
// half is gone. From then on changes are gathered for a moment and published together.
//
// What does not go with the rest of the registry (an address or a key of another source) is left
// out alone, logged, counted, and tried again from time to time: one bad object must not keep the
// whole cluster as it was.
//
// Lives on one loop; `ready()` from any thread.
class KubernetesSource {
 public:
  static constexpr absl::Duration kGather = absl::Milliseconds(100);
  static constexpr absl::Duration kTryAgain = absl::Seconds(15);

  struct Informers {
    Informer<Pod>* pods;
    Informer<KubeService>* services;
    Informer<EndpointSlice>* slices;
    Informer<LabelledObject>* nodes;
    Informer<LabelledObject>* namespaces;
    // Those in force that select pods: a pod that names one comes after it.
    Informer<PolicySelector>* policies;
  };

  // The pointers outlive it.
  KubernetesSource(KubernetesMesh mesh, const Informers& informers, EventLoop* loop,
                   RegistrySources* sources, Logger* logger, MetricRegistry* metrics);
  KubernetesSource(const KubernetesSource&) = delete;
  KubernetesSource& operator=(const KubernetesSource&) = delete;

  // The whole cluster has been published once.
  bool ready() const { return ready_; }

 private:
  void OnChange();
  void Publish();
  // What pending_ makes of a registry; adds to `left_out` the keys that do not go with it.
  absl::StatusOr<RegistryChange> Make(const RegistrySnapshot& base,
                                      std::set<std::string>* left_out) const;

  const Informers informers_;
  RegistrySources* const sources_;  // Not owned.
  Logger* const logger_;            // Not owned.
  Gauge* const left_out_gauge_;
  RegistryModel model_;
  // Not in the registry yet.
  RegistryModel::Update pending_;
  std::set<std::string> left_out_;
  std::string logged_;
  std::atomic<bool> ready_{false};
  std::unique_ptr<EventLoop::Timer> publish_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_KUBERNETES_SOURCE_H_
