#ifndef BYRNIE_CONTROLPLANE_TRUST_TESTING_MEMORY_TRUST_STORE_H_
#define BYRNIE_CONTROLPLANE_TRUST_TESTING_MEMORY_TRUST_STORE_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/trust/trust_codec.h"
#include "controlplane/trust/trust_store.h"

namespace byrnie {

// A TrustStore in memory, as bytes, so that what is read has been through the codec. It can fail
// around a commit as a process does that is killed there.
class MemoryTrustStore final : public TrustStore {
 public:
  enum class Crash { kNone, kBeforeCommit, kAfterCommit };

  absl::StatusOr<absl::optional<Versioned>> Load() override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    if (revision_ == 0) return absl::optional<Versioned>();
    absl::StatusOr<TrustRecord> record = DecodeTrustRecord(bytes_);
    if (!record.ok()) return record.status();
    return absl::optional<Versioned>(Versioned{*std::move(record), revision_});
  }

  absl::StatusOr<int64_t> Commit(const TrustRecord& record, int64_t revision) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    const Crash crash = crash_;
    crash_ = Crash::kNone;
    if (crash == Crash::kBeforeCommit) return absl::UnknownError("killed before the commit");
    if (revision != revision_) return absl::AbortedError("somebody else was faster");
    bytes_ = EncodeTrustRecord(record);
    ++revision_;
    ++commits_;
    if (crash == Crash::kAfterCommit) return absl::UnknownError("killed after the commit");
    return revision_;
  }

  absl::StatusOr<KeptTime> LoadTime() override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    return time_;
  }

  absl::Status KeepTime(absl::Time time, int64_t revision, int64_t trust_revision) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    if (revision != time_.revision || trust_revision != revision_) {
      return absl::AbortedError("somebody else was faster");
    }
    time_ = {time, revision + 1};
    return absl::OkStatus();
  }

  // Of the next commit alone.
  void CrashAtNextCommit(Crash crash) {
    absl::MutexLock lock(&mu_);
    crash_ = crash;
  }
  // Until FailWith(OkStatus()).
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }
  std::string bytes() const {
    absl::MutexLock lock(&mu_);
    return bytes_;
  }
  int commits() const {
    absl::MutexLock lock(&mu_);
    return commits_;
  }

 private:
  mutable absl::Mutex mu_;
  std::string bytes_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  int commits_ ABSL_GUARDED_BY(mu_) = 0;
  KeptTime time_ ABSL_GUARDED_BY(mu_);
  Crash crash_ ABSL_GUARDED_BY(mu_) = Crash::kNone;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TESTING_MEMORY_TRUST_STORE_H_
