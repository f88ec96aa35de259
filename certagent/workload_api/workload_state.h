#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_STATE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_STATE_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/private_key.h"
#include "common/identity/identity_snapshot.h"

namespace byrnie {

// What the workload's own APIs tell: the identity in force with the key of its leaf. Immutable.
struct WorkloadState {
  IdentitySnapshotPtr snapshot;
  std::shared_ptr<const PrivateKey> key;
};
using WorkloadStatePtr = std::shared_ptr<const WorkloadState>;

// The newest of something immutable, put there by the loop and taken by gRPC's threads.
// Thread-safe.
template <typename T>
class Newest {
 public:
  // Null before the first.
  std::shared_ptr<const T> get() const {
    absl::MutexLock lock(&mu_);
    return value_;
  }
  // The old one is destroyed, if nobody else has it, without the lock.
  void Set(std::shared_ptr<const T> value) {
    absl::MutexLock lock(&mu_);
    value_.swap(value);
  }

 private:
  mutable absl::Mutex mu_;
  std::shared_ptr<const T> value_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_STATE_H_
