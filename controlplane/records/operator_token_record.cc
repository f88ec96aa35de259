#include "controlplane/records/operator_token_record.h"

#include <utility>

#include "byrnie/store/v1/operator_token.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/records/record_value.h"

namespace byrnie {

absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash(Store* store) {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store->Get(kOperatorTokenKey));
  if (!entry.has_value()) return absl::optional<std::string>();
  ASSIGN_OR_RETURN(std::string hash, ParseOperatorTokenHash(entry->value));
  return absl::optional<std::string>(std::move(hash));
}

absl::StatusOr<std::string> ParseOperatorTokenHash(const std::string& value) {
  byrnie::store::v1::OperatorToken token;
  if (!token.ParseFromString(value)) return DamagedRecord(kOperatorTokenKey);
  return token.token_hash();
}

absl::Status SetOperatorTokenHash(Store* store, const std::string& hash) {
  StoreTransaction transaction;
  PutOperatorTokenHash(hash, &transaction);
  return UnknownAsUnavailable(store->Commit(transaction).status(), "start again");
}

void PutOperatorTokenHash(const std::string& hash, StoreTransaction* transaction) {
  byrnie::store::v1::OperatorToken value;
  value.set_token_hash(hash);
  transaction->Put(kOperatorTokenKey, value.SerializeAsString());
}

}  // namespace byrnie
