#ifndef BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_
#define BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/audit/issuance_record.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Issuances in the control plane's store, an entry each. Thread-safe; the pointer outlives it.
class StoredIssuances final : public IssuanceStore {
 public:
  explicit StoredIssuances(Store* store) : store_(store) {}

  absl::Status Append(const std::vector<IssuanceRecord>& records) override;
  absl::StatusOr<Page> Read(absl::Time since, const std::string& after, int limit) override;
  absl::StatusOr<bool> Trim(absl::Time before, int64_t most, absl::Time keep_from) override;

 private:
  Store* const store_;  // Not owned.
  absl::Mutex mu_;
  // Known to be too many, and not deleted yet.
  int64_t surplus_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_STORED_ISSUANCES_H_
