#ifndef BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/log.h"
#include "controlplane/audit/issuance_spool.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Issuances that wait in a file of this machine (SQLite): on the disk when Append returns, and
// there for the next process when this one is killed. Those that are damaged are given as what
// their keys say, and when that is removed, their bytes stay in the file, under "damaged/" and
// their keys, up to kMostDamaged of them, for whoever can make something of them. One that cannot
// be put there, on a full disk, say, waits for the next process and holds up no other.
class SpoolFile final : public IssuanceSpool {
 public:
  static constexpr int64_t kMostDamaged = 1000;

  // Opens the file, or makes it with mode 0600, which `created` tells; its directory must exist.
  // `owner` names the log that they belong to: a file of another one's is FailedPrecondition, so
  // that they do not get into the wrong log. Errors as SqliteStore::Open. The logger outlives it.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Open(const std::string& path,
                                                         const std::string& owner, Logger* logger,
                                                         bool* created);

  absl::Status Append(const std::vector<IssuanceRecord>& records) override;
  absl::StatusOr<Batch> Oldest() override;
  absl::Status Remove(const Batch& batch) override;

 private:
  SpoolFile(std::unique_ptr<Store> file, std::string path, Logger* logger)
      : file_(std::move(file)), path_(std::move(path)), logger_(logger) {}

  // Takes it from those that wait, and keeps its bytes where there is room for one more.
  absl::Status SetAside(const std::string& key);
  bool IsLeft(const std::string& key) const;

  const std::unique_ptr<Store> file_;
  const std::string path_;
  Logger* const logger_;  // Not owned.
  mutable absl::Mutex mu_;
  // Damaged ones that could not be set aside.
  std::set<std::string> left_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_
