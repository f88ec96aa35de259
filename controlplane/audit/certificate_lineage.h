#ifndef BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// A certificate, and all that was issued to whoever proved himself with it or with one of those:
// what somebody who has its key may have by now. Of the log of issuances, as far back as that goes.
// An entry that cannot be read is one of them where its bytes still say so, which no other bytes
// than those of such a one do by chance. Not thread-safe.
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
  // Entries that cannot be read, by time, and may be of what was issued on its proof, or on that of
  // those, and be valid at `now`, or something that was issued on theirs: so that this is missing
  // in renewed(), too. No certificate lives longer than `longest_life`.
  std::vector<IssuanceRecord> Doubtful(absl::Time now, absl::Duration longest_life) const;

 private:
  // An entry that cannot be read, and what was issued on its proof.
  struct Damaged {
    IssuanceRecord record;
    // Of whom that is; empty: there is nothing.
    std::string identity = "";
    absl::Time ends = absl::InfinitePast();
  };

  bool IsRenewal(const IssuanceRecord& record) const;
  // Of one that is not known to be a renewal.
  void NoteOther(const IssuanceRecord& record);
  // Of all of them: renewals do not change it. Empty: not known.
  std::string identity() const;

  const std::string serial_;
  absl::optional<IssuanceRecord> itself_;
  std::vector<IssuanceRecord> renewed_;
  // Of renewed_.
  absl::flat_hash_set<std::string> serials_;
  absl::Time begins_ = absl::InfinitePast();
  absl::flat_hash_map<std::string, Damaged> damaged_;  // By serial.
  // The serial of the first of those that a certificate goes back to.
  absl::flat_hash_map<std::string, std::string> goes_back_to_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_CERTIFICATE_LINEAGE_H_
