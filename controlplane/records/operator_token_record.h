#ifndef BYRNIE_CONTROLPLANE_RECORDS_OPERATOR_TOKEN_RECORD_H_
#define BYRNIE_CONTROLPLANE_RECORDS_OPERATOR_TOKEN_RECORD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "controlplane/store/store.h"

namespace byrnie {

// What the record is kept under, for a watch.
inline constexpr char kOperatorTokenKey[] = "operator_token";

// HashBearerToken() of the operator's token; absent before the first start. FailedPrecondition when
// what is kept cannot be right; else as the store.
absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash(Store* store);

// The hash in the value of an entry; FailedPrecondition when it cannot be right.
absl::StatusOr<std::string> ParseOperatorTokenHash(const std::string& value);

// Replaces the hash.
absl::Status SetOperatorTokenHash(Store* store, const std::string& hash);

// Adds the write of the record to a transaction.
void PutOperatorTokenHash(const std::string& hash, StoreTransaction* transaction);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_OPERATOR_TOKEN_RECORD_H_
