#ifndef BYRNIE_PROXY_SHARDED_MAP_H_
#define BYRNIE_PROXY_SHARDED_MAP_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"

namespace byrnie {

// A hash map that can be photographed: a snapshot costs the same for any number of entries, because
// it shares all shards that are not changed afterwards. A change after a snapshot copies one shard.
// A map lives on one thread; a snapshot that nobody changes is immutable and thread-safe. Values
// are to be small and cheap to copy: pointers.
template <typename K, typename V>
class ShardedMap {
 public:
  ShardedMap() = default;
  ShardedMap(ShardedMap&&) = default;
  ShardedMap& operator=(ShardedMap&&) = default;

  // Null: not there. Lives until the next change of this map; in a snapshot, as long as that.
  template <typename Q>
  const V* Find(const Q& key) const {
    const std::shared_ptr<Shard>& shard = shards_[IndexOf(key)];
    if (shard == nullptr) return nullptr;
    const auto found = shard->find(key);
    return found == shard->end() ? nullptr : &found->second;
  }

  void Put(const K& key, V value) {
    const bool inserted = Writable(IndexOf(key)).insert_or_assign(key, std::move(value)).second;
    if (inserted) ++size_;
  }

  // False: it was not there.
  template <typename Q>
  bool Erase(const Q& key) {
    if (Find(key) == nullptr) return false;
    Writable(IndexOf(key)).erase(key);
    --size_;
    return true;
  }

  size_t size() const { return size_; }

  // Calls `visit` with each key and value, in no order.
  template <typename Visitor>
  void ForEach(Visitor visit) const {
    for (const std::shared_ptr<Shard>& shard : shards_) {
      if (shard == nullptr) continue;
      for (const auto& [key, value] : *shard) visit(key, value);
    }
  }

  // What this is now; later changes of either are not seen by the other.
  ShardedMap Snapshot() {
    owned_.reset();
    ShardedMap snapshot;
    snapshot.shards_ = shards_;
    snapshot.size_ = size_;
    return snapshot;
  }

 private:
  using Shard = absl::flat_hash_map<K, V>;
  // A shard of 100 000 entries has some 400: copying it takes microseconds.
  static constexpr size_t kShards = 256;
  static_assert(sizeof(size_t) == 8, "the shard is chosen by the hash's top byte");

  // By the top bits, which a table of a shard's size does not use.
  template <typename Q>
  static size_t IndexOf(const Q& key) {
    return absl::Hash<Q>{}(key) >> 56;
  }

  Shard& Writable(size_t index) {
    std::shared_ptr<Shard>& shard = shards_[index];
    if (!owned_[index]) {
      shard = shard == nullptr ? std::make_shared<Shard>() : std::make_shared<Shard>(*shard);
      owned_.set(index);
    }
    return *shard;
  }

  // Null: empty.
  std::array<std::shared_ptr<Shard>, kShards> shards_;
  // Shards made since the last snapshot: nobody else has them. Not asked of the reference counts,
  // whose other holders are on other threads.
  std::bitset<kShards> owned_;
  size_t size_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_SHARDED_MAP_H_
