#include "controlplane/store/observed_store.h"

namespace byrnie {

ObservedStore::ObservedStore(Store* store, const Clock* clock, Logger* logger,
                             MetricRegistry* metrics)
    : store_(store),
      clock_(clock),
      logger_(logger),
      failures_(metrics->AddCounter(
          "byrnie_controlplane_store_failures_total",
          "Calls of the store that failed because its engine or its disk did.")) {}

void ObservedStore::BeginLog() {
  absl::MutexLock lock(&mutex_);
  logs_ = true;
}

ObservedStore::Access ObservedStore::reads() const {
  absl::MutexLock lock(&mutex_);
  return reads_;
}

ObservedStore::Access ObservedStore::writes() const {
  absl::MutexLock lock(&mutex_);
  return writes_;
}

template <typename T>
absl::StatusOr<T> ObservedStore::Note(absl::StatusOr<T> result, Access* access) {
  const absl::Status& status = result.status();
  // The engine or its disk, not what was asked for.
  const bool failed = !status.ok() && !absl::IsAborted(status);
  if (failed) failures_->Increment();
  absl::optional<uint64_t> unsaid;
  {
    absl::MutexLock lock(&mutex_);
    if (!failed) {
      *access = Access();
    } else {
      if (access->status.ok()) access->failing_since = clock_->WallNow();
      access->status = status;
      if (logs_) unsaid = said_.Admit(status.message(), clock_->MonotonicNow());
    }
  }
  if (unsaid.has_value()) {
    logger_->Error("store failed", {{"reason", status.message()}, {"not_logged", *unsaid}});
  }
  return result;
}

absl::StatusOr<absl::optional<StoreEntry>> ObservedStore::Get(absl::string_view key) {
  return Note(store_->Get(key), &reads_);
}

absl::StatusOr<Store::Page> ObservedStore::List(absl::string_view prefix,
                                                absl::string_view after_key, int limit) {
  return Note(store_->List(prefix, after_key, limit), &reads_);
}

absl::StatusOr<int64_t> ObservedStore::Count(absl::string_view prefix) {
  return Note(store_->Count(prefix), &reads_);
}

absl::StatusOr<int64_t> ObservedStore::Commit(const StoreTransaction& transaction) {
  return Note(store_->Commit(transaction), &writes_);
}

std::unique_ptr<StoreWatch> ObservedStore::Watch(absl::string_view prefix,
                                                 StoreListener* listener) {
  return store_->Watch(prefix, listener);
}

std::unique_ptr<StoreElection> ObservedStore::Campaign(absl::string_view name) {
  return store_->Campaign(name);
}

}  // namespace byrnie
