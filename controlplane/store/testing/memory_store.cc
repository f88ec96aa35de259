#include "controlplane/store/testing/memory_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/store/single_process_election.h"

namespace byrnie {

void MemoryStore::FailWith(absl::Status failure) {
  absl::MutexLock lock(&mu_);
  failure_ = std::move(failure);
}

void MemoryStore::LoseNextAnswer(absl::Status answer) {
  absl::MutexLock lock(&mu_);
  lost_answer_ = std::move(answer);
}

void MemoryStore::HoldReads() {
  absl::MutexLock lock(&mu_);
  hold_reads_ = true;
}

void MemoryStore::LetReadsGo() {
  absl::MutexLock lock(&mu_);
  hold_reads_ = false;
}

void MemoryStore::AwaitHeldRead() {
  absl::MutexLock lock(&mu_);
  const auto held = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return held_ > 0; };
  mu_.Await(absl::Condition(&held));
}

void MemoryStore::WaitWhileHeld() {
  ++held_;
  const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !hold_reads_; };
  mu_.Await(absl::Condition(&free));
  --held_;
}

absl::StatusOr<absl::optional<StoreEntry>> MemoryStore::Get(absl::string_view key) {
  absl::MutexLock lock(&mu_);
  WaitWhileHeld();
  RETURN_IF_ERROR(failure_);
  const auto found = entries_.find(std::string(key));
  if (found == entries_.end()) return absl::optional<StoreEntry>();
  return absl::optional<StoreEntry>(found->second);
}

absl::StatusOr<Store::Page> MemoryStore::List(absl::string_view prefix, absl::string_view after_key,
                                              int limit) {
  absl::MutexLock lock(&mu_);
  WaitWhileHeld();
  RETURN_IF_ERROR(failure_);
  Page page;
  page.revision = revision_;
  auto it = entries_.lower_bound(StorePageStart(prefix, after_key));
  for (; it != entries_.end() && absl::StartsWith(it->first, prefix); ++it) {
    if (page.entries.size() == static_cast<size_t>(limit)) {
      page.more = true;
      break;
    }
    page.entries.push_back(it->second);
  }
  return page;
}

absl::StatusOr<int64_t> MemoryStore::Count(absl::string_view prefix) {
  absl::MutexLock lock(&mu_);
  WaitWhileHeld();
  RETURN_IF_ERROR(failure_);
  return std::count_if(entries_.begin(), entries_.end(), [prefix](const auto& entry) {
    return absl::StartsWith(entry.first, prefix);
  });
}

absl::StatusOr<int64_t> MemoryStore::Commit(const StoreTransaction& transaction) {
  RETURN_IF_ERROR(transaction.Check());
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  for (const StoreCondition& condition : transaction.conditions()) {
    const auto found = entries_.find(condition.key);
    if ((found == entries_.end() ? 0 : found->second.revision) != condition.revision) {
      return absl::AbortedError(absl::StrCat("store: \"", condition.key, "\" has changed"));
    }
  }
  if (!transaction.writes().empty()) {
    ++revision_;
    for (const StoreWrite& write : transaction.writes()) {
      if (write.value.has_value()) {
        entries_[write.key] = StoreEntry{write.key, *write.value, revision_};
      } else {
        entries_.erase(write.key);
      }
    }
    hub_.Publish(transaction.writes(), revision_);
  }
  const absl::Status answer = std::exchange(lost_answer_, absl::OkStatus());
  if (!answer.ok()) return answer;
  return revision_;
}

std::unique_ptr<StoreWatch> MemoryStore::Watch(absl::string_view prefix, StoreListener* listener) {
  return hub_.Watch(prefix, listener);
}

std::unique_ptr<StoreElection> MemoryStore::Campaign(absl::string_view name) {
  return std::make_unique<SingleProcessElection>(name);
}

}  // namespace byrnie
