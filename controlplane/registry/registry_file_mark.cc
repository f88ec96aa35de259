#include "controlplane/registry/registry_file_mark.h"

#include "absl/memory/memory.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// Whatever is there says it: no damage to it makes it say something else.
constexpr char kKey[] = "registry_file", kValue[] = "had entries";

}  // namespace

constexpr absl::Duration RegistryFileMark::kLookInterval;

absl::StatusOr<std::unique_ptr<RegistryFileMark>> RegistryFileMark::Load(Store* store,
                                                                         const Clock* clock) {
  ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, store->Get(kKey));
  return absl::WrapUnique(new RegistryFileMark(store, clock, entry.has_value()));
}

bool RegistryFileMark::Differs(bool wanted) {
  if (written_ != wanted) return true;
  const absl::Duration now = clock_->MonotonicNow();
  if (!wanted || now < next_look_) return false;
  next_look_ = now + kLookInterval;
  const absl::StatusOr<absl::optional<StoreEntry>> there = store_->Get(kKey);
  if (there.ok()) written_ = there->has_value();
  return written_ != wanted;
}

void RegistryFileMark::Write() {
  const bool wanted = had_entries_;
  if (!Differs(wanted)) return;
  StoreTransaction transaction;
  if (wanted) {
    transaction.Put(kKey, kValue);
  } else {
    transaction.Delete(kKey);
  }
  if (store_->Commit(transaction).ok()) written_ = wanted;
}

}  // namespace byrnie
