#include "controlplane/store/guarded_store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

// Passes on what a watch tells while the store is believed.
class GuardedStore::Listener final : public StoreListener {
 public:
  Listener(GuardedStore* store, StoreListener* listener) : store_(store), listener_(listener) {}

  absl::Status OnReset() override {
    RETURN_IF_ERROR(store_->Ask());
    return listener_->OnReset();
  }

  void OnChanges(const std::vector<StoreChange>& changes) override {
    const bool deletes = std::any_of(changes.begin(), changes.end(), [](const StoreChange& change) {
      return !change.value.has_value();
    });
    absl::Status believed = store_->lost();
    // While it cannot be asked it has not been found to be another one. A loss of everything takes
    // the entry away in the same commit, so that it is gone by now.
    if (believed.ok() && deletes && !store_->Ask().ok()) believed = store_->lost();
    if (believed.ok()) listener_->OnChanges(changes);
  }

 private:
  GuardedStore* const store_;      // Not owned.
  StoreListener* const listener_;  // Not owned.
};

class GuardedStore::GuardedWatch final : public StoreWatch {
 public:
  GuardedWatch(GuardedStore* guard, Store* store, absl::string_view prefix, StoreListener* listener)
      : listener_(guard, listener), watch_(store->Watch(prefix, &listener_)) {}

 private:
  Listener listener_;
  // Last: gone before what its calls need.
  std::unique_ptr<StoreWatch> watch_;
};

GuardedStore::GuardedStore(Store* store, std::string key, int64_t revision, Judge judge,
                           OnLost on_lost)
    : store_(store),
      key_(std::move(key)),
      judge_(std::move(judge)),
      on_lost_(std::move(on_lost)),
      revision_(revision),
      greatest_(revision) {}

absl::Status GuardedStore::lost() const {
  absl::MutexLock lock(&mu_);
  return lost_;
}

int64_t GuardedStore::greatest() const {
  absl::MutexLock lock(&mu_);
  return greatest_;
}

absl::Status GuardedStore::Lose(std::string what) {
  const absl::Status why = absl::UnavailableError(absl::StrCat(
      "the store has lost what it held: ", what,
      "; this control plane goes on with what it knows and changes nothing: restore the store from "
      "its last backup while no control plane runs, then start them again"));
  {
    absl::MutexLock lock(&mu_);
    if (!lost_.ok()) return lost_;
    lost_ = why;
  }
  on_lost_(why);
  return why;
}

absl::Status GuardedStore::JudgeRevision(int64_t known, int64_t revision) {
  if (revision < known) {
    return Lose(absl::StrCat("its revision has gone back from ", known, " to ", revision));
  }
  absl::MutexLock lock(&mu_);
  greatest_ = std::max(greatest_, revision);
  return lost_;
}

absl::Status GuardedStore::Ask() {
  RETURN_IF_ERROR(lost());
  // Before the question: of two answers the older one may come later.
  const int64_t known = greatest();
  ASSIGN_OR_RETURN(Page page, store_->List(key_, "", 1));
  RETURN_IF_ERROR(JudgeRevision(known, page.revision));
  if (page.entries.empty() || page.entries.front().key != key_) {
    return Lose(absl::StrCat("its record \"", key_, "\" is gone"));
  }
  const StoreEntry& entry = page.entries.front();
  {
    absl::MutexLock lock(&mu_);
    if (entry.revision == revision_) return lost_;
  }
  const absl::Status judged = judge_(entry);
  if (absl::IsUnavailable(judged)) {
    return absl::UnavailableError(
        absl::StrCat(judged.message(),
                     "; until it says again which mesh the store is of, nothing is taken from "
                     "the store or written into it"));
  }
  if (!judged.ok()) return Lose(std::string(judged.message()));
  absl::MutexLock lock(&mu_);
  revision_ = std::max(revision_, entry.revision);
  return lost_;
}

absl::StatusOr<absl::optional<StoreEntry>> GuardedStore::Get(absl::string_view key) {
  RETURN_IF_ERROR(lost());
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(key));
  if (!entry.has_value()) RETURN_IF_ERROR(Ask());
  return entry;
}

absl::StatusOr<Store::Page> GuardedStore::List(absl::string_view prefix,
                                               absl::string_view after_key, int limit) {
  RETURN_IF_ERROR(lost());
  const int64_t known = greatest();
  ASSIGN_OR_RETURN(Page page, store_->List(prefix, after_key, limit));
  RETURN_IF_ERROR(JudgeRevision(known, page.revision));
  // What is not in it may be lost.
  RETURN_IF_ERROR(Ask());
  return page;
}

absl::StatusOr<int64_t> GuardedStore::Count(absl::string_view prefix) {
  RETURN_IF_ERROR(lost());
  ASSIGN_OR_RETURN(const int64_t count, store_->Count(prefix));
  RETURN_IF_ERROR(Ask());
  return count;
}

absl::StatusOr<int64_t> GuardedStore::Commit(const StoreTransaction& transaction) {
  RETURN_IF_ERROR(lost());
  if (transaction.conditions().size() > StoreTransaction::kMaxOperations) {
    return absl::InvalidArgumentError(absl::StrCat("store: ", transaction.conditions().size(),
                                                   " conditions; at most ",
                                                   StoreTransaction::kMaxOperations));
  }
  const int64_t known = greatest();
  StoreTransaction guarded = transaction;
  {
    absl::MutexLock lock(&mu_);
    guarded.RequireRevision(key_, revision_);
  }
  absl::StatusOr<int64_t> committed = store_->Commit(guarded);
  guarded.WipeValues();
  if (committed.ok()) {
    RETURN_IF_ERROR(JudgeRevision(known, *committed));
    return committed;
  }
  if (absl::IsAborted(committed.status())) RETURN_IF_ERROR(Ask());
  return committed;
}

std::unique_ptr<StoreWatch> GuardedStore::Watch(absl::string_view prefix, StoreListener* listener) {
  return std::make_unique<GuardedWatch>(this, store_, prefix, listener);
}

std::unique_ptr<StoreElection> GuardedStore::Campaign(absl::string_view name) {
  return store_->Campaign(name);
}

}  // namespace byrnie
