#include "controlplane/records/operator_token_record.h"

#include "byrnie/store/v1/operator_token.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/records/record_value.h"

namespace byrnie {

absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash(Store* store) {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store->Get(kOperatorTokenKey));
  if (!entry.has_value()) return absl::optional<std::string>();
  byrnie::store::v1::OperatorToken value;
  if (!value.ParseFromString(entry->value)) return DamagedRecord(kOperatorTokenKey);
  return absl::optional<std::string>(value.token_hash());
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
