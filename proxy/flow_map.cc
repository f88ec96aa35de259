#include "proxy/flow_map.h"

#include <utility>

#include "common/base/check.h"

namespace byrnie {

// All that an edge takes from the heap, at the most: the list's node, the shared key with its
// count, their texts, the set's slot at its emptiest, and what malloc() adds to each piece.
size_t FlowMap::CostOf(const FlowKeyView& key) {
  constexpr size_t kPieces = 5;
  constexpr size_t kMallocOverhead = 16;
  constexpr size_t kSlot = sizeof(void*) + 1;
  return sizeof(Entry) + 2 * sizeof(void*) + sizeof(FlowKey) + 2 * sizeof(void*) + key.peer.size() +
         key.service.size() + Flow::kMaxReason + 3 + 2 * kSlot + kPieces * kMallocOverhead;
}

FlowMap::Entry* FlowMap::Find(const FlowKeyView& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : *found;
}

bool FlowMap::Fits(const FlowKeyView& key) const {
  return by_key_.contains(key) || bytes_ + CostOf(key) <= max_bytes_;
}

FlowMap::Entry* FlowMap::Touch(const FlowKeyView& key, std::shared_ptr<const FlowKey> shared) {
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, (*found)->self);
    return &entries_.front();
  }
  const size_t cost = CostOf(key);
  if (!MakeRoom(cost)) {
    ++left_out_;
    return nullptr;
  }
  entries_.emplace_front();
  Entry& entry = entries_.front();
  entry.self = entries_.begin();
  entry.flow.key = shared != nullptr ? std::move(shared) : std::make_shared<const FlowKey>(key);
  by_key_.insert(&entry);
  bytes_ += cost;
  return &entry;
}

bool FlowMap::MakeRoom(size_t bytes) {
  auto oldest = entries_.end();
  while (bytes_ + bytes > max_bytes_) {
    do {
      if (oldest == entries_.begin()) return false;
      --oldest;
    } while (oldest->holders > 0);
    Entry* const victim = &*oldest;
    ++oldest;
    if (victim->changed) ++left_out_;
    Erase(victim);
  }
  return true;
}

void FlowMap::Erase(Entry* entry) {
  DCHECK(entry->holders == 0);
  bytes_ -= CostOf(entry->flow.key->view());
  by_key_.erase(entry);
  entries_.erase(entry->self);
  // After a burst the set's table is what is left.
  if (by_key_.empty()) by_key_.rehash(0);
}

}  // namespace byrnie
