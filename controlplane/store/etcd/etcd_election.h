#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_ELECTION_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_ELECTION_H_

#include <cstdint>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/monotonic_cond_var.h"
#include "controlplane/store/etcd/etcd_client.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Takes part in one election of an etcd, on a thread of its own: whoever makes the election's key,
// with a lease of seconds that is kept alive, is the chosen one, until the lease ends.
class EtcdElection final : public StoreElection {
 public:
  static constexpr absl::Duration kLeaseLife = absl::Seconds(6);

  // The key is `entries_prefix` + `key`. The client outlives this.
  EtcdElection(EtcdClient* client, const std::string& entries_prefix, std::string key);
  // Gives the place up at once where the etcd answers.
  ~EtcdElection() override;

  absl::optional<StoreCondition> Leading() const override;

 private:
  void Run();
  // Gets a lease or keeps it alive; false when there is none.
  bool Live();
  // Takes the place if it is free, and looks whose it is.
  void Stand();
  void Resign();

  EtcdClient* const client_;  // Not owned.
  const std::string key_;
  const std::string etcd_key_;

  // Of the thread.
  int64_t lease_ = 0;

  mutable absl::Mutex mu_;
  MonotonicCondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // Of the key that is ours; 0: it is not.
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  // When the lease ends at the earliest, by Clock::MonotonicNow.
  absl::Duration until_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_ELECTION_H_
