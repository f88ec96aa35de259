#ifndef BYRNIE_CONTROLPLANE_TRUST_STORED_TRUST_H_
#define BYRNIE_CONTROLPLANE_TRUST_STORED_TRUST_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/store/store.h"
#include "controlplane/trust/trust_store.h"

namespace byrnie {

// The trust record in the control plane's store, under the key "trust", and beside it the time that
// was settled last: so that to keep that is no new record, which every other control plane would
// have to take in. Thread-safe; the pointer outlives it.
class StoredTrust final : public TrustStore {
 public:
  static constexpr char kKey[] = "trust";
  static constexpr char kTimeKey[] = "trust_time";

  explicit StoredTrust(Store* store) : store_(store) {}

  absl::StatusOr<absl::optional<Versioned>> Load() override;
  absl::StatusOr<int64_t> Commit(const TrustRecord& record, int64_t revision) override;
  absl::StatusOr<KeptTime> LoadTime() override;
  absl::Status KeepTime(absl::Time time, int64_t revision, int64_t trust_revision) override;

  // The root of a store from before there were trust records, which the first Commit replaces;
  // absent where there is none. FailedPrecondition: it is of another trust domain, or damaged.
  absl::StatusOr<absl::optional<RootRecord>> LoadLegacyRoot(const std::string& trust_domain);

 private:
  Store* const store_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_STORED_TRUST_H_
