#include "controlplane/audit/spool_file.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/audit/issuance_codec.h"
#include "controlplane/store/sqlite_store.h"

namespace byrnie {
namespace {

constexpr char kOwnerKey[] = "spool/owner", kDamagedPrefix[] = "damaged/";
// No entry is nearly as large.
constexpr size_t kMostDamagedBytes = 64 * 1024;

absl::Status CheckOwner(Store* file, const std::string& path, const std::string& owner) {
  ASSIGN_OR_RETURN(const absl::optional<StoreEntry> found, file->Get(kOwnerKey));
  if (found.has_value() && found->value == owner) return absl::OkStatus();
  if (found.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"", path, "\" holds issuances of ", found->value, ", not of ", owner,
                     "; give another file, or start what they are of with this one"));
  }
  ASSIGN_OR_RETURN(const int64_t entries, file->Count(""));
  if (entries > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"", path, "\" is a store of another kind; give a file of its own"));
  }
  StoreTransaction claim;
  claim.RequireAbsent(kOwnerKey).Put(kOwnerKey, owner);
  return file->Commit(claim).status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpoolFile>> SpoolFile::Open(const std::string& path,
                                                           const std::string& owner, Logger* logger,
                                                           bool* created) {
  SqliteStore::Found found;
  ASSIGN_OR_RETURN(std::unique_ptr<Store> file, SqliteStore::Open(path, &found));
  *created = found.created;
  RETURN_IF_ERROR(CheckOwner(file.get(), path, owner));
  return absl::WrapUnique(new SpoolFile(std::move(file), path, logger));
}

absl::Status SpoolFile::Append(const std::vector<IssuanceRecord>& records) {
  StoreTransaction transaction;
  for (const IssuanceRecord& record : records) {
    transaction.Put(IssuanceKey(record), EncodeIssuance(record));
  }
  return file_->Commit(transaction).status();
}

absl::StatusOr<IssuanceSpool::Batch> SpoolFile::Oldest() {
  Batch batch;
  Store::Page page;
  std::string after;
  do {
    const size_t room = IssuanceStore::kMaxBatch - batch.keys.size();
    ASSIGN_OR_RETURN(page, file_->List(kIssuancePrefix, after, static_cast<int>(room)));
    for (const StoreEntry& entry : page.entries) {
      after = entry.key;
      if (IsLeft(entry.key)) continue;
      batch.keys.push_back(entry.key);
      batch.records.push_back(DecodeIssuance(entry.key, entry.value));
    }
  } while (page.more && batch.keys.size() < IssuanceStore::kMaxBatch);
  return batch;
}

bool SpoolFile::IsLeft(const std::string& key) const {
  absl::MutexLock lock(&mu_);
  return left_.count(key) != 0;
}

absl::Status SpoolFile::Remove(const Batch& batch) {
  // The damaged ones apart: what keeps one of them from being set aside keeps no other.
  StoreTransaction transaction;
  for (size_t i = 0; i < batch.keys.size(); ++i) {
    if (batch.records[i].proof != kUnreadableProof) transaction.Delete(batch.keys[i]);
  }
  if (!transaction.writes().empty()) RETURN_IF_ERROR(file_->Commit(transaction).status());
  for (size_t i = 0; i < batch.keys.size(); ++i) {
    if (batch.records[i].proof != kUnreadableProof) continue;
    const absl::Status aside = SetAside(batch.keys[i]);
    if (aside.ok()) continue;
    logger_->Error(
        "an issuance that waited to be logged cannot be read, nor be set aside: the log has its "
        "time and serial alone, and its bytes stay where they are until the next start",
        {{"entry", batch.keys[i]}, {"path", path_}, {"error", aside.message()}});
    absl::MutexLock lock(&mu_);
    left_.insert(batch.keys[i]);
  }
  return absl::OkStatus();
}

absl::Status SpoolFile::SetAside(const std::string& key) {
  ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, file_->Get(key));
  if (!entry.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t there, file_->Count(kDamagedPrefix));
  const std::string aside = absl::StrCat(kDamagedPrefix, key);
  const bool room = there < kMostDamaged && entry->value.size() <= kMostDamagedBytes &&
                    aside.size() <= StoreTransaction::kMaxKeyBytes;
  StoreTransaction transaction;
  if (room) transaction.Put(aside, entry->value);
  transaction.Delete(key);
  RETURN_IF_ERROR(file_->Commit(transaction).status());
  logger_->Error(
      "an issuance that waited to be logged cannot be read: the log has its time and serial alone",
      {{"entry", key},
       {"bytes", room ? absl::StrCat("kept in ", path_, " as ", aside)
                      : absl::StrCat("dropped, ", path_, " keeps no more of them")}});
  return absl::OkStatus();
}

}  // namespace byrnie
