#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_

#include <cstdint>

#include "absl/status/statusor.h"
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
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_STORE_H_
