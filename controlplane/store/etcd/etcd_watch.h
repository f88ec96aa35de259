#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_WATCH_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_WATCH_H_

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/base/monotonic_cond_var.h"
#include "controlplane/store/etcd/etcd_client.h"
#include "controlplane/store/store.h"

namespace byrnie {

// One watch of an etcd, on a thread of its own. A stream that breaks is begun anew at another
// member, at the revision it had got to; where that is compacted by then, the listener reads
// everything again.
class EtcdWatch final : public StoreWatch {
 public:
  // Watches the keys under `entries_prefix` + `prefix`; what the listener sees is without the
  // former. The client outlives this.
  EtcdWatch(EtcdClient* client, std::string entries_prefix, absl::string_view prefix,
            StoreListener* listener);
  ~EtcdWatch() override;

 private:
  void Run();
  // Lets the listener read, and notes where to begin; false when it is to be tried again.
  bool Reset();
  // Follows one stream to its end; true when that has told anything, or when there was none yet.
  bool Follow();
  void Take(etcdserverpb::WatchResponse* response);
  // False when it is time to end.
  bool Pause(absl::Duration time);
  bool stopping() const;

  EtcdClient* const client_;  // Not owned.
  const std::string entries_prefix_;
  const std::string start_;
  StoreListener* const listener_;  // Not owned.

  // Of the thread. The revision to go on with; 0: the listener has to read first.
  int64_t next_revision_ = 0;
  // Of one revision whose events have not all come yet.
  std::vector<StoreChange> changes_;

  mutable absl::Mutex mu_;
  MonotonicCondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // Of the stream that is open.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_WATCH_H_
