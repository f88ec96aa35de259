#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/trust/trust_record.h"

namespace byrnie {

// Where the trust record is kept. Thread-safe; blocks.
class TrustStore {
 public:
  struct Versioned {
    TrustRecord record;
    // Of the commit that wrote it, greater than 0.
    int64_t revision = 0;
  };

  virtual ~TrustStore() = default;

  // Absent before the first start. Unavailable; FailedPrecondition when it cannot be read.
  virtual absl::StatusOr<absl::optional<Versioned>> Load() = 0;
  // Replaces the record of `revision` (0: there is none), durably, and returns the new revision.
  // Aborted when there is another by now. Unavailable: nothing has changed. Unknown: nobody can
  // say; Load() tells.
  virtual absl::StatusOr<int64_t> Commit(const TrustRecord& record, int64_t revision) = 0;

  // A time that has been, as far as the processes of the store know.
  struct KeptTime {
    // Absent: none was kept, or it cannot be read.
    absl::optional<absl::Time> time;
    int64_t revision = 0;  // 0: none was kept.
  };
  // Errors as the store.
  virtual absl::StatusOr<KeptTime> LoadTime() = 0;
  // Replaces the time of `revision`, while the trust record is that of `trust_revision`. Aborted
  // when either is another by now; errors as the store.
  virtual absl::Status KeepTime(absl::Time time, int64_t revision, int64_t trust_revision) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_
