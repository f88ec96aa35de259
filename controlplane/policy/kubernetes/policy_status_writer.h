#ifndef BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_POLICY_STATUS_WRITER_H_
#define BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_POLICY_STATUS_WRITER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/api_client.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/policy/kubernetes/access_policy.h"

namespace byrnie {

// Writes below the "status" of AccessPolicies what it is told belongs there, and nothing where it
// is there already. Each write requires the version that was looked at: of several control planes
// one is first, the others' are refused and they find it done. Where another one writes something
// else again and again, as one of another release may, each waits longer from time to time, so that
// they do not keep each other busy. One request at a time. Lives on one loop.
class PolicyStatusWriter {
 public:
  // Within this, so that others may be first.
  static constexpr absl::Duration kSpread = absl::Milliseconds(300);
  // Before what others have written is written over, at first and at most.
  static constexpr absl::Duration kPatience = absl::Seconds(2);
  static constexpr absl::Duration kMostPatience = absl::Minutes(10);
  // After a failure, at first and at most.
  static constexpr absl::Duration kRetry = absl::Seconds(1);
  static constexpr absl::Duration kMostRetry = absl::Minutes(1);
  static constexpr char kResource[] = "/apis/byrnie.io/v1/namespaces/";

  // The pointers, and what `random` borrows, outlive it.
  PolicyStatusWriter(ApiClient* client, EventLoop* loop, absl::BitGenRef random, Logger* logger,
                     MetricRegistry* metrics);
  PolicyStatusWriter(const PolicyStatusWriter&) = delete;
  PolicyStatusWriter& operator=(const PolicyStatusWriter&) = delete;

  // `object` is as it is known to be now, and `status` what it is to have.
  void Want(std::shared_ptr<const AccessPolicy> object, AccessPolicyStatus status);
  // It is there no more.
  void Forget(const ObjectName& name);

 private:
  struct Entry {
    std::shared_ptr<const AccessPolicy> object;
    AccessPolicyStatus status;
    // Not there yet, and when to write it; Now() of the loop.
    bool wanted = false;
    absl::Duration due;
    // The version that was written over, or found to be old: nothing is said of it any more.
    std::string settled;
    // What was last written, for which generation, and for how long another's word is let be.
    int64_t written = -1;
    absl::Duration patience;
    absl::Duration retry;
  };

  void Schedule();
  void Next();
  void Send(const ObjectName& name, Entry* entry);
  void OnDone(const ObjectName& name, absl::StatusOr<ApiResponse> response);
  absl::Duration Jitter(absl::Duration most);

  ApiClient* const client_;  // Not owned.
  EventLoop* const loop_;    // Not owned.
  absl::BitGenRef random_;   // Not owned.
  Logger* const logger_;     // Not owned.
  Counter* const written_;
  Counter* const failed_;
  std::map<ObjectName, Entry> entries_;
  std::string logged_;
  std::unique_ptr<EventLoop::Timer> next_;
  // Last: its handlers use the rest.
  std::unique_ptr<ApiClient::Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KUBERNETES_POLICY_STATUS_WRITER_H_
