#ifndef BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_
#define BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/ca/revocations.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Revocations in the control plane's store, an entry each. Thread-safe; the pointer outlives it.
class StoredRevocations final : public RevocationStore {
 public:
  explicit StoredRevocations(Store* store) : store_(store) {}

  absl::StatusOr<std::vector<RevokedCertificate>> Load() override;
  absl::Status Add(const RevokedCertificate& revoked) override;
  absl::Status Remove(const std::string& serial) override;

 private:
  Store* const store_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_
