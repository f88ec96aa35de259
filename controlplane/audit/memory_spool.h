#ifndef BYRNIE_CONTROLPLANE_AUDIT_MEMORY_SPOOL_H_
#define BYRNIE_CONTROLPLANE_AUDIT_MEMORY_SPOOL_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_spool.h"

namespace byrnie {

// Issuances that wait in memory, where nobody has given a file for them: never fails, keeps the
// newest kMost of them, and counts those it has dropped. What it holds ends with the process.
class MemorySpool final : public IssuanceSpool {
 public:
  static constexpr size_t kMost = 100000;

  // The counter outlives it.
  explicit MemorySpool(Counter* dropped) : dropped_(dropped) {}

  absl::Status Append(const std::vector<IssuanceRecord>& records) override;
  absl::StatusOr<Batch> Oldest() override;
  absl::Status Remove(const Batch& batch) override;

 private:
  Counter* const dropped_;  // Not owned.
  absl::Mutex mu_;
  // By IssuanceKey, which sorts by time.
  std::map<std::string, IssuanceRecord> records_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_MEMORY_SPOOL_H_
