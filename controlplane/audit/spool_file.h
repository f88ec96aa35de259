#ifndef BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/audit/issuance_spool.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Issuances that wait in a file of this machine (SQLite): on the disk when Append returns, and
// there for the next process when this one is killed.
class SpoolFile final : public IssuanceSpool {
 public:
  // Opens the file, or makes it with mode 0600, which `created` tells; its directory must exist.
  // `owner` names the log that they belong to: a file of another one's is FailedPrecondition, so
  // that they do not get into the wrong log. Errors as SqliteStore::Open.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Open(const std::string& path,
                                                         const std::string& owner, bool* created);

  absl::Status Append(const std::vector<IssuanceRecord>& records) override;
  absl::StatusOr<Batch> Oldest() override;
  absl::Status Remove(const Batch& batch) override;

 private:
  explicit SpoolFile(std::unique_ptr<Store> file) : file_(std::move(file)) {}

  const std::unique_ptr<Store> file_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_SPOOL_FILE_H_
