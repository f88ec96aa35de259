#include "controlplane/records/record_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

absl::Status Changed(const std::string& key) {
  return absl::AbortedError(absl::StrCat(key, " has been changed meanwhile"));
}

// Whether an unknown commit was carried out, the caller finds out by looking, and may try again: a
// write that expects a version is not carried out twice.
absl::Status Clear(const absl::Status& status) {
  if (!absl::IsUnknown(status)) return status;
  return absl::UnavailableError(
      absl::StrCat(status.message(), "; look whether it was done, and try again where it was not"));
}

}  // namespace

absl::StatusOr<std::vector<RecordTable::Record>> RecordTable::List() const {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store_, prefix_));
  std::vector<Record> records;
  records.reserve(entries.size());
  for (StoreEntry& entry : entries) {
    records.push_back({entry.key.substr(prefix_.size()), std::move(entry.value), entry.revision});
  }
  return records;
}

absl::StatusOr<int64_t> RecordTable::Put(const std::string& key, const std::string& value,
                                         absl::optional<int64_t> expected,
                                         const absl::optional<StoreCondition>& also) {
  const std::string whole = absl::StrCat(prefix_, key);
  StoreTransaction transaction;
  // Revision 0 is that of an entry that is not there, as kNone is.
  if (expected.has_value()) {
    transaction.RequireRevision(whole, *expected);
  }
  if (also.has_value()) transaction.Require(*also);
  transaction.Put(whole, value);
  const absl::StatusOr<int64_t> revision = store_->Commit(transaction);
  if (absl::IsAborted(revision.status())) return Changed(key);
  if (!revision.ok()) return Clear(revision.status());
  return *revision;
}

absl::Status RecordTable::Delete(const std::string& key, absl::optional<int64_t> expected,
                                 const absl::optional<StoreCondition>& also) {
  const std::string whole = absl::StrCat(prefix_, key);
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(whole));
  if (!entry.has_value()) return absl::NotFoundError(absl::StrCat("there is no ", key));
  if (expected.has_value() && *expected != entry->revision) {
    return Changed(key);
  }
  StoreTransaction transaction;
  transaction.RequireRevision(whole, entry->revision);
  if (also.has_value()) transaction.Require(*also);
  transaction.Delete(whole);
  const absl::Status committed = store_->Commit(transaction).status();
  return absl::IsAborted(committed) ? Changed(key) : Clear(committed);
}

}  // namespace byrnie
