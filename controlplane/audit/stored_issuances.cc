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
constexpr size_t kMostNamed = 20;

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
  const std::string from = std::max(after, IssuanceKeyAt(since));
  ASSIGN_OR_RETURN(const Store::Page found, store_->List(kIssuancePrefix, from, limit));
  Page page;
  for (const StoreEntry& entry : found.entries) {
    page.records.push_back(DecodeIssuance(entry.key, entry.value));
  }
  NoteUnreadable(from, found, page);
  if (found.more) page.next = found.entries.back().key;
  return page;
}

void StoredIssuances::NoteUnreadable(const std::string& after, const Store::Page& found,
                                     const Page& page) {
  if (board_ == nullptr) return;
  absl::MutexLock lock(&unreadable_mu_);
  std::set<std::string> now;
  for (const std::string& key : unreadable_) {
    const bool read = key > after && (!found.more || key <= found.entries.back().key);
    if (!read) now.insert(key);
  }
  for (size_t i = 0; i < found.entries.size() && now.size() < kMostNamed; ++i) {
    if (page.records[i].proof == kUnreadableProof) now.insert(found.entries[i].key);
  }
  TellOf(std::move(now));
}

void StoredIssuances::LookAgain() {
  std::set<std::string> keys;
  {
    absl::MutexLock lock(&unreadable_mu_);
    keys = unreadable_;
  }
  for (const std::string& key : keys) {
    const absl::StatusOr<absl::optional<StoreEntry>> entry = store_->Get(key);
    if (!entry.ok()) return;
    if (entry->has_value() && DecodeIssuance(key, (*entry)->value).proof == kUnreadableProof) {
      continue;
    }
    absl::MutexLock lock(&unreadable_mu_);
    std::set<std::string> others = unreadable_;
    others.erase(key);
    TellOf(std::move(others));
  }
}

void StoredIssuances::TellOf(std::set<std::string> keys) {
  if (keys == unreadable_) return;
  unreadable_ = std::move(keys);
  std::vector<UnreadableRecord> told;
  for (const std::string& key : unreadable_) {
    told.push_back({key, "the record is damaged",
                    "nobody knows to whom that was issued: byrniectl issuances has its serial "
                    "number alone, and a rotation of the root waits until any certificate of that "
                    "time has ended",
                    board_->DeleteByHand(key)});
  }
  board_->Set(UnreadableRecords::Kind::kIssuance, std::move(told));
}

absl::StatusOr<IssuanceStore::Trimmed> StoredIssuances::Trim(absl::Time before, int64_t most,
                                                             absl::Time keep_from) {
  LookAgain();
  ASSIGN_OR_RETURN(
      Store::Page oldest,
      store_->List(kIssuancePrefix, "", static_cast<int>(StoreTransaction::kMaxOperations)));
  const std::string end = IssuanceKeyAt(before), keep = IssuanceKeyAt(keep_from);
  constexpr auto kAtOnce = static_cast<int64_t>(StoreTransaction::kMaxOperations);
  absl::MutexLock lock(&mu_);
  bool full = false;
  // Where there is enough to delete already, the hundreds of thousands are not counted; and not for
  // each hundred of them that are too many.
  if (!oldest.entries.empty() && oldest.entries.back().key < end) {
    surplus_ = 0;
  } else if (surplus_ < kAtOnce) {
    ASSIGN_OR_RETURN(const int64_t count, store_->Count(kIssuancePrefix));
    surplus_ = std::clamp<int64_t>(count - most, 0, kCountEvery);
    full = count >= most;
  }
  const int64_t surplus = std::exchange(surplus_, 0);
  StoreTransaction transaction;
  int64_t deleted = 0;
  Trimmed trimmed;
  for (const StoreEntry& entry : oldest.entries) {
    if (entry.key >= end && (deleted >= surplus || entry.key >= keep)) break;
    transaction.Delete(entry.key);
    ++deleted;
    if (entry.key >= end) trimmed.cut_to = DecodeIssuance(entry.key, entry.value).issued_at;
  }
  if (deleted == 0) {
    // Whoever deleted those before the oldest may have been another process. Where it is too young
    // to be deleted, none of its age was.
    if (full && !oldest.entries.empty() && oldest.entries.front().key < keep) {
      const StoreEntry& first = oldest.entries.front();
      trimmed.cut_to = DecodeIssuance(first.key, first.value).issued_at;
    }
    return trimmed;
  }
  RETURN_IF_ERROR(store_->Commit(transaction).status());
  surplus_ = std::max<int64_t>(0, surplus - deleted);
  trimmed.more = deleted == kAtOnce;
  return trimmed;
}

}  // namespace byrnie
