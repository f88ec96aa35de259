#ifndef BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_
#define BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/monotonic_cond_var.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_record.h"
#include "controlplane/audit/issuance_spool.h"
#include "controlplane/audit/memory_spool.h"

namespace byrnie {

// The log of everything that was issued. Thread-safe; has a thread of its own, which writes what
// has gathered while the write before was under way as one transaction: each caller waits for about
// one write, and any number of callers share it.
//
// An issuance that was answered is in the log, but for one case: a store that cannot be written to
// does not stop the mesh from renewing its certificates. Issuances then go to a spool, and from
// there to the store once it is back; where the spool is a file they outlive the process, which
// writes them when it is started again. What neither of them takes is not issued.
class IssuanceLog {
 public:
  struct Options {
    // What is older is deleted, and the oldest beyond so many.
    absl::Duration keep_for = absl::Hours(24 * 30);
    int64_t keep_most = 1000000;
    // What is younger stays, however many there are: it says who may hold a certificate now.
    absl::Duration keep_at_least = absl::ZeroDuration();
    // How long a caller waits for the store before the spool is to do.
    absl::Duration longest_wait = absl::Seconds(2);
  };

  // Without a spool (null) those that wait do so in memory, the newest of them (MemorySpool), and
  // are lost when the process is killed. The pointers outlive it.
  IssuanceLog(IssuanceStore* store, IssuanceSpool* spool, Options options, const Clock* clock,
              Logger* logger, MetricRegistry* metrics);
  IssuanceLog(const IssuanceLog&) = delete;
  IssuanceLog& operator=(const IssuanceLog&) = delete;
  // Writes what waits, as long as the store lets it. Nobody is in Append any more.
  ~IssuanceLog();

  // Writes what an earlier process has left in the spool: before anything is issued, and before
  // others hear of this process, so that nobody counts on a log without them. Errors as the store
  // and the spool.
  absl::Status TakeInSpooled();

  // Returns when the record is in the log, or in the spool. Unavailable: it is in neither, and what
  // it is of must not be handed out.
  absl::Status Append(IssuanceRecord record);
  // The caller has put it into the store himself, as an entry of its own.
  void NoteWritten() { written_total_->Increment(); }
  // The same as Append without waiting, for what is in use already: the control plane's own
  // certificates.
  void AppendLater(IssuanceRecord record);

  // How often entries have been written late, because they could not be for a while: whoever has
  // read that time reads it again. Absent while there are some that still wait.
  absl::optional<uint32_t> LateWrites() const;

  // What is not in the log.
  struct Backlog {
    // They wait to be written, each for a moment unless writing fails.
    size_t pending = 0;
    bool failing = false;
    // Those that wait outlive the process: they are in a file.
    bool lasting = false;
    // They never will be, of all since the process started.
    uint64_t lost = 0;
    // More were issued within Options::keep_for than keep_most: those up to here are not in it any
    // more. Absent: it goes back as far as it is to.
    absl::optional<absl::Time> cut_to;
  };
  Backlog backlog() const;

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
  // On the stack of its Append, or nobody's: then whoever settles it deletes it.
  struct Entry {
    IssuanceRecord record;
    bool settled = false;
    absl::Status status;
    bool nobodys = false;
  };
  // The oldest that are not settled, and the number of the first behind them.
  struct Front {
    std::vector<IssuanceRecord> records;
    uint64_t end = 0;
  };

  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || away_ || spooled_ > 0 || !queue_.empty();
  }
  Front TakeFront() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Settle(uint64_t end, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Notes what the store has said.
  void SetAway(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetSpooled(int64_t spooled) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowPending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes the front to the spool; releases mu_ meanwhile.
  void SpoolFront() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // These say whether it went well.
  bool WriteFront(const Front& front);
  bool MoveSpooled();
  // Logs what is wrong with the spool, unless that is what it said last. Of the thread alone.
  void Complain(absl::string_view message, const absl::Status& status);
  void TrimIfDue();

  IssuanceStore* const store_;  // Not owned.
  const Options options_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const written_total_;
  Counter* const lost_total_;
  Gauge* const pending_;
  std::unique_ptr<MemorySpool> memory_;  // Where there is no other.
  IssuanceSpool* const spool_;           // Not owned; or memory_.
  mutable absl::Mutex mu_;
  // Those that wait, and the number of the first.
  std::deque<Entry*> queue_ ABSL_GUARDED_BY(mu_);
  uint64_t first_ ABSL_GUARDED_BY(mu_) = 0;
  // The store has not taken the last that it was given, and why.
  bool away_ ABSL_GUARDED_BY(mu_) = false;
  std::string away_why_ ABSL_GUARDED_BY(mu_);
  // Somebody is in SpoolFront.
  bool spooling_ ABSL_GUARDED_BY(mu_) = false;
  // How many wait in the spool, about; 0: none.
  int64_t spooled_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t late_writes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time cut_to_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // For the thread: HasWork() may be true. For who is in Append: something is settled, or the store
  // is away.
  MonotonicCondVar work_, answered_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::string complaint_;                            // Of the thread alone.
  absl::Duration next_trim_ = absl::ZeroDuration();  // Monotonic; of the thread alone.
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_LOG_H_
