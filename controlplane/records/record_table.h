#ifndef BYRNIE_CONTROLPLANE_RECORDS_RECORD_TABLE_H_
#define BYRNIE_CONTROLPLANE_RECORDS_RECORD_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The entries of a store under one prefix, such as "policies/", each by the rest of its key. Every
// method is one transaction; errors besides those below are Unavailable, as the store's. Blocks.
// Thread-safe; the store outlives it.
class RecordTable {
 public:
  struct Record {
    std::string key;
    std::string value;
    // Another one after every change of the record; never kNone.
    int64_t version = 0;
  };
  // Expects that there is no such record.
  static constexpr int64_t kNone = 0;

  RecordTable(Store* store, absl::string_view prefix) : store_(store), prefix_(prefix) {}

  // All, by key.
  absl::StatusOr<std::vector<Record>> List() const;
  // Writes a record; gives its new version. Aborted when the present one is not of `expected`, or
  // `also` does not hold, which may be of another key of the store.
  absl::StatusOr<int64_t> Put(const std::string& key, const std::string& value,
                              absl::optional<int64_t> expected,
                              const absl::optional<StoreCondition>& also = absl::nullopt);
  // NotFound when there is none; Aborted as Put.
  absl::Status Delete(const std::string& key, absl::optional<int64_t> expected,
                      const absl::optional<StoreCondition>& also = absl::nullopt);

 private:
  Store* const store_;  // Not owned.
  const std::string prefix_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_RECORD_TABLE_H_
