#ifndef BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_SPOOL_H_
#define BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_SPOOL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// Where issuances wait that the store they belong to cannot take now. Thread-safe; may block on a
// disk. Errors name the remedy.
class IssuanceSpool {
 public:
  struct Batch {
    std::vector<IssuanceRecord> records;
    // What Remove knows them by.
    std::vector<std::string> keys;
  };

  virtual ~IssuanceSpool() = default;

  // All of them, at most IssuanceStore::kMaxBatch, or none. Adding one that is there changes
  // nothing.
  virtual absl::Status Append(const std::vector<IssuanceRecord>& records) = 0;
  // The oldest that can be removed, at most IssuanceStore::kMaxBatch; empty: there are none.
  virtual absl::StatusOr<Batch> Oldest() = 0;
  // Removing one that is not there changes nothing. OK: Oldest() gives none of them any more.
  virtual absl::Status Remove(const Batch& batch) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_SPOOL_H_
