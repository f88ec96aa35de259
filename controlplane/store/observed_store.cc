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

template <typename T>
absl::StatusOr<T> ObservedStore::Note(absl::StatusOr<T> result) {
  const absl::Status& status = result.status();
  // The engine or its disk, not what was asked for.
  if (status.ok() || absl::IsAborted(status)) return result;
  failures_->Increment();
  absl::optional<uint64_t> unsaid;
  {
    absl::MutexLock lock(&mutex_);
    if (logs_) unsaid = said_.Admit(status.message(), clock_->MonotonicNow());
  }
  if (unsaid.has_value()) {
    logger_->Error("store failed", {{"reason", status.message()}, {"not_logged", *unsaid}});
  }
  return result;
}

absl::StatusOr<absl::optional<StoreEntry>> ObservedStore::Get(absl::string_view key) {
  return Note(store_->Get(key));
}

absl::StatusOr<Store::Page> ObservedStore::List(absl::string_view prefix,
                                                absl::string_view after_key, int limit) {
  return Note(store_->List(prefix, after_key, limit));
}

absl::StatusOr<int64_t> ObservedStore::Count(absl::string_view prefix) {
  return Note(store_->Count(prefix));
}

absl::StatusOr<int64_t> ObservedStore::Commit(const StoreTransaction& transaction) {
  return Note(store_->Commit(transaction));
}

std::unique_ptr<StoreWatch> ObservedStore::Watch(absl::string_view prefix,
                                                 StoreListener* listener) {
  return store_->Watch(prefix, listener);
}

std::unique_ptr<StoreElection> ObservedStore::Campaign(absl::string_view name) {
  return store_->Campaign(name);
}

}  // namespace byrnie
