#ifndef BYRNIE_DEPLOY_INJECTOR_SIDECAR_RESOURCES_H_
#define BYRNIE_DEPLOY_INJECTOR_SIDECAR_RESOURCES_H_

#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What the sidecar's containers ask for and may use. Of each resource: what the annotations say,
// and a default that gives way to it.
class SidecarResources {
 public:
  // For a pod with this `spec`, whose containers in `ours` are the sidecar's. `settings` outlives
  // this.
  SidecarResources(const PodSettings* settings, const Json& spec,
                   const std::set<std::string>& ours);

  Json Agent() const;
  Json Proxy() const;
  // Of what runs once, before the application does, or next to never.
  Json Small() const;

  // The pod's quality of service is Guaranteed without the sidecar, but not with it; "" or a
  // warning that says so.
  std::string Warning() const;
  // It is so with it, too, which costs more than other pods pay, and nobody has said how much; ""
  // or a warning that says so.
  std::string GrowthWarning() const;

 private:
  struct Amount;
  struct Amounts;
  static const Amounts kProxy, kAgent, kSmall;

  Json Of(absl::string_view container, const Amounts& amounts) const;
  void Add(absl::string_view container, absl::string_view resource, const Amount& amount,
           Json* resources) const;

  const PodSettings* const settings_;  // Not owned.
  // Of the pod as a whole.
  const Json of_pod_;
  // Each of the application's containers has of CPU and memory what it asks for and no more. So
  // have ours then, because the pod is Guaranteed with all of them or not at all, and one that is
  // not has no CPUs of its own and is ended sooner when the node's memory is short.
  const bool guaranteed_;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_SIDECAR_RESOURCES_H_
