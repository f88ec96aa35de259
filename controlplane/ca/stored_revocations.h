#ifndef BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_
#define BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/ca/revocations.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Revocations in the control plane's store, an entry each. Of one that cannot be read its key says
// which serial number is revoked, and it is for as long as the record is there. Thread-safe; the
// pointers outlive it.
class StoredRevocations final : public RevocationStore {
 public:
  // `unreadable` is told of records that cannot be read; may be null.
  explicit StoredRevocations(Store* store, UnreadableRecords* unreadable = nullptr)
      : store_(store), unreadable_(unreadable) {}

  absl::StatusOr<std::vector<RevokedCertificate>> Load() override;
  absl::StatusOr<bool> Add(const RevokedCertificate& revoked) override;
  absl::Status Remove(const std::string& serial) override;
  absl::StatusOr<std::vector<KeptList>> LoadLists(const std::vector<KeptList>& known) override;
  absl::Status KeepList(const KeptList& kept) override;
  absl::Status RemoveList(const std::string& issuer) override;

 private:
  Store* const store_;                   // Not owned.
  UnreadableRecords* const unreadable_;  // Not owned; may be null.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_STORED_REVOCATIONS_H_
