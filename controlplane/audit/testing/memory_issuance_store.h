#ifndef BYRNIE_CONTROLPLANE_AUDIT_TESTING_MEMORY_ISSUANCE_STORE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_TESTING_MEMORY_ISSUANCE_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// An IssuanceStore in memory that fails on demand and can hold its writers.
class MemoryIssuanceStore final : public IssuanceStore {
 public:
  absl::Status Append(const std::vector<IssuanceRecord>& records) override {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &MemoryIssuanceStore::Open));
    ++appends_;
    if (!failure_.ok()) return failure_;
    for (const IssuanceRecord& record : records) by_key_.emplace(KeyOf(record), record);
    return absl::OkStatus();
  }
  absl::StatusOr<Page> Read(absl::Time since, const std::string& after, int limit) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    Page page;
    for (const auto& [key, record] : by_key_) {
      if (record.issued_at < since || (!after.empty() && key <= after)) continue;
      if (static_cast<int>(page.records.size()) == limit) {
        page.next = KeyOf(page.records.back());
        break;
      }
      page.records.push_back(record);
    }
    return page;
  }
  absl::StatusOr<Trimmed> Trim(absl::Time before, int64_t most, absl::Time keep_from) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    Trimmed trimmed;
    const size_t before_any = by_key_.size();
    for (size_t deleted = 0; !by_key_.empty(); ++deleted) {
      const absl::Time oldest = by_key_.begin()->second.issued_at;
      const bool surplus = static_cast<int64_t>(by_key_.size()) > most && oldest < keep_from;
      if (oldest >= before && !surplus) break;
      if (deleted == kMaxBatch) {
        trimmed.more = true;
        break;
      }
      if (oldest >= before) trimmed.cut_to = oldest;
      by_key_.erase(by_key_.begin());
    }
    const bool full = !by_key_.empty() && static_cast<int64_t>(by_key_.size()) >= most;
    if (full && by_key_.size() == before_any && by_key_.begin()->second.issued_at < keep_from) {
      trimmed.cut_to = by_key_.begin()->second.issued_at;
    }
    return trimmed;
  }

  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }
  void Clear() {
    absl::MutexLock lock(&mu_);
    by_key_.clear();
  }
  // While held, Append() does not return.
  void Hold(bool held) {
    absl::MutexLock lock(&mu_);
    held_ = held;
  }
  int appends() const {
    absl::MutexLock lock(&mu_);
    return appends_;
  }
  size_t size() const {
    absl::MutexLock lock(&mu_);
    return by_key_.size();
  }

 private:
  static std::string KeyOf(const IssuanceRecord& record) {
    return absl::StrFormat("%020d %s", absl::ToUnixMicros(record.issued_at), record.serial);
  }
  bool Open() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !held_; }

  mutable absl::Mutex mu_;
  std::map<std::string, IssuanceRecord> by_key_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  int appends_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_TESTING_MEMORY_ISSUANCE_STORE_H_
