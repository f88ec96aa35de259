#include "controlplane/audit/memory_spool.h"

#include "controlplane/audit/issuance_codec.h"

namespace byrnie {

constexpr size_t MemorySpool::kMost;

absl::Status MemorySpool::Append(const std::vector<IssuanceRecord>& records) {
  absl::MutexLock lock(&mu_);
  for (const IssuanceRecord& record : records) records_.emplace(IssuanceKey(record), record);
  while (records_.size() > kMost) {
    records_.erase(records_.begin());
    dropped_->Increment();
  }
  return absl::OkStatus();
}

absl::StatusOr<IssuanceSpool::Batch> MemorySpool::Oldest() {
  absl::MutexLock lock(&mu_);
  Batch batch;
  for (const auto& [key, record] : records_) {
    if (batch.keys.size() == IssuanceStore::kMaxBatch) break;
    batch.keys.push_back(key);
    batch.records.push_back(record);
  }
  return batch;
}

absl::Status MemorySpool::Remove(const Batch& batch) {
  absl::MutexLock lock(&mu_);
  for (const std::string& key : batch.keys) records_.erase(key);
  return absl::OkStatus();
}

}  // namespace byrnie
