#include "controlplane/store/store_mirror.h"

#include <utility>

#include "absl/memory/memory.h"
#include "common/base/status_macros.h"

namespace byrnie {

StoreMirror::StoreMirror(Store* store, std::string prefix, std::function<void()> on_change)
    : store_(store), prefix_(std::move(prefix)), on_change_(std::move(on_change)) {}

absl::StatusOr<std::unique_ptr<StoreMirror>> StoreMirror::Create(Store* store, std::string prefix,
                                                                 std::function<void()> on_change) {
  auto mirror = absl::WrapUnique(new StoreMirror(store, std::move(prefix), std::move(on_change)));
  ASSIGN_OR_RETURN(std::shared_ptr<const Entries> entries, mirror->Read());
  {
    absl::MutexLock lock(&mirror->mu_);
    mirror->entries_ = std::move(entries);
  }
  mirror->watch_ = store->Watch(mirror->prefix_, mirror.get());
  return mirror;
}

std::shared_ptr<const StoreMirror::Entries> StoreMirror::entries() const {
  absl::MutexLock lock(&mu_);
  return entries_;
}

absl::StatusOr<std::shared_ptr<const StoreMirror::Entries>> StoreMirror::Read() const {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> list, ListAll(store_, prefix_));
  auto entries = std::make_shared<Entries>();
  for (StoreEntry& entry : list) {
    entries->emplace(std::move(entry.key), Kept{std::move(entry.value), entry.revision});
  }
  return std::shared_ptr<const Entries>(std::move(entries));
}

void StoreMirror::Publish(std::shared_ptr<const Entries> entries) {
  {
    absl::MutexLock lock(&mu_);
    entries_.swap(entries);
  }
  if (on_change_) on_change_();
}

absl::Status StoreMirror::OnReset() {
  ASSIGN_OR_RETURN(std::shared_ptr<const Entries> read, Read());
  const std::shared_ptr<const Entries> before = entries();
  const bool same =
      read->size() == before->size() &&
      std::equal(read->begin(), read->end(), before->begin(), [](const auto& a, const auto& b) {
        return a.first == b.first && a.second.revision == b.second.revision;
      });
  if (!same) Publish(std::move(read));
  return absl::OkStatus();
}

void StoreMirror::OnChanges(const std::vector<StoreChange>& changes) {
  auto next = std::make_shared<Entries>(*entries());
  for (const StoreChange& change : changes) {
    const auto found = next->find(change.key);
    // Seen already, when everything was read.
    if (found != next->end() && found->second.revision >= change.revision) continue;
    if (change.value.has_value()) {
      (*next)[change.key] = {*change.value, change.revision};
    } else if (found != next->end()) {
      next->erase(found);
    }
  }
  Publish(std::move(next));
}

}  // namespace byrnie
