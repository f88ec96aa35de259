#ifndef BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_
#define BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// The log of everything that was issued. Thread-safe; has a thread of its own, which writes what
// has gathered while the write before was under way as one transaction: each caller waits for about
// one write, and any number of callers share it.
//
// An issuance that was answered is in the log, but for one case: a store that cannot be written to
// does not stop the mesh from renewing its certificates. Issuances are then kept in memory, the
// newest kMaxPending of them, and written once the store is back; a metric counts those waiting and
// those lost. (Each is a line of the process's own log in any case.)
class IssuanceLog {
 public:
  // How long a caller waits for the store.
  static constexpr absl::Duration kLongestWait = absl::Seconds(2);
  static constexpr size_t kMaxPending = 100000;

  struct Options {
    // What is older is deleted, and the oldest beyond so many.
    absl::Duration keep_for = absl::Hours(24 * 30);
    int64_t keep_most = 1000000;
    // What is younger stays, however many there are: it says who may hold a certificate now.
    absl::Duration keep_at_least = absl::ZeroDuration();
  };

  // The pointers outlive it.
  IssuanceLog(IssuanceStore* store, Options options, const Clock* clock, Logger* logger,
              MetricRegistry* metrics);
  IssuanceLog(const IssuanceLog&) = delete;
  IssuanceLog& operator=(const IssuanceLog&) = delete;
  // Writes what is pending, as long as the store lets it.
  ~IssuanceLog();

  // Returns when the record is in the log; or, with a store that cannot be written to, when it is
  // kept to be written later.
  void Append(IssuanceRecord record);

  // How often entries have been written late, because they could not be for a while: whoever has
  // read that time reads it again. Absent while there are some that still wait.
  absl::optional<uint32_t> LateWrites() const;

  // What somebody asks the log for; empty members ask for all.
  struct Query {
    std::string identity;
    std::string serial;
    absl::Time since = absl::InfinitePast(), until = absl::InfiniteFuture();
    // Of the page before.
    std::string page_token;
    int limit = 100;
  };
  // In the order of time. A page may have fewer than `limit` and yet not be the last: `next` tells.
  // InvalidArgument: the limit is not 1 to 1000. Unavailable: the store.
  absl::StatusOr<IssuanceStore::Page> Read(const Query& query) const;
  // All that were issued from `since` on, in the order of time. Errors as the store.
  absl::Status ForEachSince(absl::Time since,
                            const std::function<void(const IssuanceRecord&)>& visit) const;

 private:
  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }
  void WriteOnce(std::vector<IssuanceRecord> batch);
  void TrimIfDue();

  IssuanceStore* const store_;  // Not owned.
  const Options options_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const written_total_;
  Counter* const lost_total_;
  Gauge* const pending_;
  mutable absl::Mutex mu_;
  std::deque<IssuanceRecord> queue_ ABSL_GUARDED_BY(mu_);
  // Numbers of records: of the newest in the queue, and of the newest that has left it.
  uint64_t newest_ ABSL_GUARDED_BY(mu_) = 0, done_ ABSL_GUARDED_BY(mu_) = 0;
  bool failing_ ABSL_GUARDED_BY(mu_) = false;
  // The newest that had to wait for the store to come back.
  uint64_t late_until_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t late_writes_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration next_trim_ = absl::ZeroDuration();  // Monotonic; of the thread alone.
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_
