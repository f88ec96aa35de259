#include "controlplane/audit/stored_issuances.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "common/base/status_macros.h"
#include "controlplane/audit/issuance_codec.h"

namespace byrnie {

absl::Status StoredIssuances::Append(const std::vector<IssuanceRecord>& records) {
  StoreTransaction transaction;
  for (const IssuanceRecord& record : records) {
    transaction.Put(IssuanceKey(record), EncodeIssuance(record));
  }
  return store_->Commit(transaction).status();
}

absl::StatusOr<IssuanceStore::Page> StoredIssuances::Read(absl::Time since,
                                                          const std::string& after, int limit) {
  if (!after.empty() && !absl::StartsWith(after, kIssuancePrefix)) {
    return absl::InvalidArgumentError("the page token is not of an earlier answer");
  }
  ASSIGN_OR_RETURN(Store::Page found,
                   store_->List(kIssuancePrefix, std::max(after, IssuanceKeyAt(since)), limit));
  Page page;
  for (const StoreEntry& entry : found.entries) page.records.push_back(DecodeIssuance(entry.value));
  if (found.more) page.next = found.entries.back().key;
  return page;
}

absl::StatusOr<bool> StoredIssuances::Trim(absl::Time before, int64_t most, absl::Time keep_from) {
  ASSIGN_OR_RETURN(
      Store::Page oldest,
      store_->List(kIssuancePrefix, "", static_cast<int>(StoreTransaction::kMaxOperations)));
  const std::string end = IssuanceKeyAt(before), keep = IssuanceKeyAt(keep_from);
  int64_t surplus = 0;
  // Where there is enough to delete already, the hundreds of thousands are not counted.
  if (oldest.entries.empty() || oldest.entries.back().key >= end) {
    ASSIGN_OR_RETURN(const int64_t count, store_->Count(kIssuancePrefix));
    surplus = count - most;
  }
  StoreTransaction transaction;
  int64_t deleted = 0;
  for (const StoreEntry& entry : oldest.entries) {
    if (entry.key >= end && (deleted >= surplus || entry.key >= keep)) break;
    transaction.Delete(entry.key);
    ++deleted;
  }
  if (deleted == 0) return false;
  RETURN_IF_ERROR(store_->Commit(transaction).status());
  return deleted == static_cast<int64_t>(StoreTransaction::kMaxOperations);
}

}  // namespace byrnie
