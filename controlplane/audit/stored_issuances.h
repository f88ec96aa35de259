#ifndef BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_
#define BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/audit/issuance_record.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Issuances in the control plane's store, an entry each. Those that cannot be read, as far as
// somebody has read to them, `unreadable` is told of. Thread-safe; the pointers outlive it.
class StoredIssuances final : public IssuanceStore {
 public:
  // `unreadable` may be null.
  explicit StoredIssuances(Store* store, UnreadableRecords* unreadable = nullptr)
      : store_(store), board_(unreadable) {}

  absl::Status Append(const std::vector<IssuanceRecord>& records) override;
  absl::StatusOr<Page> Read(absl::Time since, const std::string& after, int limit) override;
  absl::StatusOr<Trimmed> Trim(absl::Time before, int64_t most, absl::Time keep_from) override;

 private:
  // Those of `found` that cannot be read, in place of what was known between its ends.
  void NoteUnreadable(const std::string& after, const Store::Page& found, const Page& page);
  // Looks whether those that were found are still there and bad.
  void LookAgain();
  void TellOf(std::set<std::string> keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(unreadable_mu_);

  Store* const store_;              // Not owned.
  UnreadableRecords* const board_;  // Not owned; may be null.
  absl::Mutex mu_;
  // Known to be too many, and not deleted yet.
  int64_t surplus_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Mutex unreadable_mu_;
  // Their keys; the first of them.
  std::set<std::string> unreadable_ ABSL_GUARDED_BY(unreadable_mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_
