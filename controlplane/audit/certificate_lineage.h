#ifndef BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// A certificate, and all that was issued to whoever proved himself with it or with one of those:
// what somebody who has its key may have by now. Of the log of issuances, as far back as that goes.
// Not thread-safe.
class CertificateLineage {
 public:
  explicit CertificateLineage(std::string serial) : serial_(std::move(serial)) {}

  // Reads the log: all of it at first, then from where the lineage begins. True: it has found some
  // that it did not have. Call it until it says false, as long as more may be issued, and because
  // clocks of control planes differ, so that one may be in the log before what it was issued for.
  // Errors as the log.
  absl::StatusOr<bool> Update(const IssuanceLog& log);

  // The certificate; absent: the log does not have it.
  const absl::optional<IssuanceRecord>& itself() const { return itself_; }
  // What was issued on its proof, ended ones and JWT-SVIDs too.
  const std::vector<IssuanceRecord>& renewed() const { return renewed_; }

 private:
  const std::string serial_;
  absl::optional<IssuanceRecord> itself_;
  std::vector<IssuanceRecord> renewed_;
  // Of renewed_.
  absl::flat_hash_set<std::string> serials_;
  absl::Time begins_ = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_
