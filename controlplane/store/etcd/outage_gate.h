#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_OUTAGE_GATE_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_OUTAGE_GATE_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// While something that is called over the network is away, lets one call at a time find out whether
// it still is; the others fail at once with what the last one met. Else everybody who needs it
// would wait for it, and those threads would be missed where it is not needed. Thread-safe.
class OutageGate {
 public:
  // One call. Destroying it without Ended() counts as a failure that says nothing new.
  class Pass {
   public:
    explicit Pass(OutageGate* gate) : gate_(gate) { refusal_ = gate->Enter(&probing_); }
    ~Pass() {
      if (probing_) gate_->StopProbing();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

    // Not OK: the call is not to be made.
    const absl::Status& refusal() const { return refusal_; }
    // How it went: OK for any answer, else why there was none.
    void Ended(const absl::Status& status) { gate_->SetState(status); }

   private:
    OutageGate* const gate_;  // Not owned.
    bool probing_ = false;
    absl::Status refusal_;
  };

 private:
  absl::Status Enter(bool* probing) {
    absl::MutexLock lock(&mu_);
    if (state_.ok()) return absl::OkStatus();
    if (probing_) return state_;
    *probing = probing_ = true;
    return absl::OkStatus();
  }
  void StopProbing() {
    absl::MutexLock lock(&mu_);
    probing_ = false;
  }
  void SetState(const absl::Status& status) {
    absl::MutexLock lock(&mu_);
    state_ = status;
  }

  absl::Mutex mu_;
  absl::Status state_ ABSL_GUARDED_BY(mu_);
  bool probing_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_OUTAGE_GATE_H_
