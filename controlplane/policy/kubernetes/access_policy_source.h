#ifndef BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_SOURCE_H_
#define BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_SOURCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/events/event_log.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/policy/kubernetes/access_policy.h"
#include "controlplane/policy/kubernetes/policy_status_writer.h"
#include "controlplane/registry/kubernetes/conversion.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/registry/resource.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// Puts the AccessPolicies of a cluster in force, as one of the registry's sources, and says in the
// status of each what became of it. As an Informer it has those in force that select pods: the
// policy is in force before it says so, and until nobody names it any more, so that no pod is
// without the one it names.
//
// What is wrong is refused, and what the object said before, and was accepted, stays in force: as
// it was seen here, or, after a restart, as its status has it. An object that was never accepted
// has no effect. A policy that was applied through the API has precedence over one of the same key.
//
// Nothing is published, and nothing is synced, before all have been listed once. Lives on one loop.
class AccessPolicySource final : public Informer<PolicySelector> {
 public:
  static constexpr absl::Duration kGather = absl::Milliseconds(100);
  // How long those who are to name a policy, or not any more, have to hear of it.
  static constexpr absl::Duration kLink = absl::Milliseconds(300);
  static constexpr absl::Duration kMostLink = absl::Seconds(5);
  // After this what is accepted is compared with the registry: pods that it selects name it by
  // then. Where it is about no workload yet, again after 30 s, 5 min and then each hour, or up to
  // twice that.
  static constexpr absl::Duration kCompare = absl::Seconds(5);
  // How often it is looked at whether the other sources leave in force what is.
  static constexpr absl::Duration kLook = absl::Seconds(1);

  static constexpr char kAccepted[] = "Accepted";
  static constexpr char kInvalid[] = "Invalid";
  static constexpr char kNameTaken[] = "NameTaken";

  // The pointers outlive it.
  AccessPolicySource(Informer<AccessPolicy>* objects, PolicyStatusWriter* statuses,
                     std::string root_namespace, EventLoop* loop, RegistrySources* sources,
                     EventLog* events, Logger* logger, MetricRegistry* metrics);
  AccessPolicySource(const AccessPolicySource&) = delete;
  AccessPolicySource& operator=(const AccessPolicySource&) = delete;

  bool synced() const override { return synced_; }
  const Objects& objects() const override { return selectors_; }
  void AddListener(Listener listener) override { listeners_.push_back(std::move(listener)); }

  // Those that are refused now, "shop/web (Invalid: why)", in order. From any thread.
  std::vector<std::string> refused() const;

 private:
  // What is known of one object beyond what the server has.
  struct Known {
    std::string uid;
    // What was accepted last; 0: nothing was.
    int64_t generation = 0;
    AccessPolicySpec spec;
    std::string text;
    ResourcePtr resource;
    // Its key is the API's.
    bool taken = false;
    // When what was accepted is to be compared with the registry; Now() of the loop. Infinite: it
    // has been, here or by another one, or names nothing that could be.
    absl::Duration compare_at = absl::InfiniteDuration();
    // How often it was about nobody then.
    int compare_tries = 0;
    // What came of it, for the message; empty: nothing.
    std::string compared;
    // What was last said of it in the log.
    std::string said;
  };
  // What a change of the registry did to policies, for the events.
  using Told = std::vector<std::pair<std::string, const char*>>;

  void OnChanges(const Informer<AccessPolicy>::Changes& changes);
  void Publish();
  void Look();
  // Takes in what an object says now, or what its status says that it said before.
  void Accept(const AccessPolicy& object, Known* known) const;
  // Compares with the registry what is due. Once for what an object says, as soon as it is about
  // somebody: what it was compared with changes all the time, and of several control planes each
  // has another view of it.
  void Compare();
  // What is to be different for our policies to be these; notes which keys are taken.
  RegistryChange Make(const RegistrySnapshot& base, Told* told);
  // Whether a change of a policy waits for those who name it: until `done`, and not longer.
  bool Waits(const std::string& key, bool done, absl::Duration longest);
  // Of those that have been told, what is not on its way out.
  Objects Staying() const;
  Objects Selectors() const;
  void TellSelectors(Objects next, bool always);
  AccessPolicyStatus StatusOf(const AccessPolicy& object, const Known& known) const;
  void Say(const AccessPolicyStatus& status, const ObjectName& name, Known* known);

  Informer<AccessPolicy>* const objects_;  // Not owned.
  PolicyStatusWriter* const statuses_;     // Not owned.
  const std::string root_namespace_;
  EventLoop* const loop_;           // Not owned.
  RegistrySources* const sources_;  // Not owned.
  EventLog* const events_;          // Not owned.
  Logger* const logger_;            // Not owned.
  Gauge* const accepted_;
  Gauge* const refused_;
  std::map<ObjectName, Known> known_;
  mutable absl::Mutex mu_;
  std::vector<std::string> refused_now_ ABSL_GUARDED_BY(mu_);
  // Keys of policies whose change waits, since when, and those that were found to do so last.
  std::map<std::string, absl::Duration> waiting_since_;
  std::set<std::string> waiting_;
  bool synced_ = false;
  Objects selectors_;
  std::vector<Listener> listeners_;
  // What is in force as it was looked at last.
  RegistrySnapshotPtr seen_;
  std::unique_ptr<EventLoop::Timer> publish_;
  std::unique_ptr<EventLoop::Timer> look_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_ACCESS_POLICY_SOURCE_H_
