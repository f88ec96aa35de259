#ifndef BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/store/store.h"
#include "controlplane/store/watch_hub.h"

namespace byrnie {

// A Store that forgets everything with the process. Thread-safe.
class MemoryStore final : public Store {
 public:
  // From now on every call returns `failure` and changes nothing; OK ends it.
  void FailWith(absl::Status failure);
  // The next Commit is carried out, and its caller learns `answer` instead.
  void LoseNextAnswer(absl::Status answer);
  // From now on Get, List and Count wait, as for a cluster that is slow, until they are let go.
  void HoldReads();
  void LetReadsGo();
  // Returns once a read waits.
  void AwaitHeldRead();

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override;
  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override;
  absl::StatusOr<int64_t> Count(absl::string_view prefix) override;
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override;
  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override;
  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override;

 private:
  void WaitWhileHeld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  bool hold_reads_ ABSL_GUARDED_BY(mu_) = false;
  int held_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  absl::Status lost_answer_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, StoreEntry> entries_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  WatchHub hub_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_
