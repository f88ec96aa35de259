#include "controlplane/registry/registry_file_mark.h"

#include "absl/memory/memory.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// Whatever is there says it: no damage to it makes it say something else.
constexpr char kKey[] = "registry_file", kValue[] = "had entries";

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryFileMark>> RegistryFileMark::Load(Store* store) {
  ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, store->Get(kKey));
  return absl::WrapUnique(new RegistryFileMark(store, entry.has_value()));
}

void RegistryFileMark::Write() {
  const bool wanted = had_entries_;
  if (written_ == wanted) return;
  StoreTransaction transaction;
  if (wanted) {
    transaction.Put(kKey, kValue);
  } else {
    transaction.Delete(kKey);
  }
  if (store_->Commit(transaction).ok()) written_ = wanted;
}

}  // namespace byrnie
