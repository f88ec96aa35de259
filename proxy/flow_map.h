#ifndef BYRNIE_PROXY_FLOW_MAP_H_
#define BYRNIE_PROXY_FLOW_MAP_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "proxy/flow.h"

namespace byrnie {

// Edges by key, within a budget of bytes: the one seen least recently makes room for a new one,
// unless it is held. Memory is taken when it is used and given back with the edge. Lives on one
// thread.
class FlowMap {
 public:
  struct Entry {
    Flow flow;
    // Something has changed since it was last taken.
    bool changed = false;
    // How many there are for whom it must stay.
    uint32_t holders = 0;
    std::list<Entry>::iterator self;
  };

  explicit FlowMap(size_t max_bytes) : max_bytes_(max_bytes) {}
  FlowMap(const FlowMap&) = delete;
  FlowMap& operator=(const FlowMap&) = delete;

  // Null when there is none.
  Entry* Find(const FlowKeyView& key) const;
  // The edge of `key`, the most recently seen one from now on; made, with `key` itself where one is
  // given, if it is new. Null when all that could make room is held. Others than the one returned,
  // and those held, may be gone.
  Entry* Touch(const FlowKeyView& key, std::shared_ptr<const FlowKey> shared = nullptr);
  void Erase(Entry* entry);
  // Whether an edge of `key` has its place, or would have without another one's going.
  bool Fits(const FlowKeyView& key) const;

  // The most recently seen first. To be changed in place only.
  std::list<Entry>& entries() { return entries_; }
  const std::list<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  // Edges that were dropped with a change that nobody had taken, and those that had no room.
  uint64_t left_out() const { return left_out_; }

 private:
  // Entries by their keys, which are not stored again.
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(const FlowKeyView& key) const { return absl::HashOf(key); }
    size_t operator()(const Entry* entry) const { return absl::HashOf(entry->flow.key->view()); }
  };
  struct KeyEqual {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a == b; }
    bool operator()(const Entry* a, const FlowKeyView& b) const { return a->flow.key->view() == b; }
    bool operator()(const FlowKeyView& a, const Entry* b) const { return a == b->flow.key->view(); }
  };

  static size_t CostOf(const FlowKeyView& key);
  bool MakeRoom(size_t bytes);

  const size_t max_bytes_;
  size_t bytes_ = 0;
  uint64_t left_out_ = 0;
  std::list<Entry> entries_;
  absl::flat_hash_set<Entry*, KeyHash, KeyEqual> by_key_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_MAP_H_
