#include "controlplane/audit/stored_issuances.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/base/status_macros.h"
#include "controlplane/audit/issuance_codec.h"

namespace byrnie {
namespace {

// Surplus entries that are deleted before they are counted again. Few: other control planes may
// have counted the same ones.
constexpr int64_t kCountEvery = 1000;

}  // namespace

absl::Status StoredIssuances::Append(const std::vector<IssuanceRecord>& records) {
  StoreTransaction transaction;
  for (const IssuanceRecord& record : records) {
    transaction.Put(IssuanceKey(record), EncodeIssuance(record));
  }
  return store_->Commit(transaction).status();
}

absl::StatusOr<IssuanceStore::Page> StoredIssuances::Read(absl::Time since,
                                                          const std::string& after, int limit) {
  if (!after.empty() && !IsIssuanceKey(after)) {
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
  constexpr auto kAtOnce = static_cast<int64_t>(StoreTransaction::kMaxOperations);
  absl::MutexLock lock(&mu_);
  // Where there is enough to delete already, the hundreds of thousands are not counted; and not for
  // each hundred of them that are too many.
  if (!oldest.entries.empty() && oldest.entries.back().key < end) {
    surplus_ = 0;
  } else if (surplus_ < kAtOnce) {
    ASSIGN_OR_RETURN(const int64_t count, store_->Count(kIssuancePrefix));
    surplus_ = std::clamp<int64_t>(count - most, 0, kCountEvery);
  }
  const int64_t surplus = std::exchange(surplus_, 0);
  StoreTransaction transaction;
  int64_t deleted = 0;
  for (const StoreEntry& entry : oldest.entries) {
    if (entry.key >= end && (deleted >= surplus || entry.key >= keep)) break;
    transaction.Delete(entry.key);
    ++deleted;
  }
  if (deleted == 0) return false;
  RETURN_IF_ERROR(store_->Commit(transaction).status());
  surplus_ = std::max<int64_t>(0, surplus - deleted);
  return deleted == kAtOnce;
}

}  // namespace byrnie
