#ifndef BYRNIE_CONTROLPLANE_REGISTRY_SHARED_MAP_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_SHARED_MAP_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

// An ordered map whose versions share what is the same in them. Entries are in chunks of some
// hundred; a version with other entries copies the chunks concerned and the list of chunks. So a
// change among 100 000 entries costs microseconds, any number of old versions cost what is
// different in them, and what is different between two of them is found without looking at the
// rest. A value; immutable, so thread-safe.
//
// Entry is a value with `absl::string_view key() const`, and == says whether two of one key are the
// same.
template <typename Entry>
class SharedMap {
 public:
  static constexpr size_t kMaxChunk = 256;

  struct Change {
    std::string key;
    // Of that key; absent: it is to be taken out.
    absl::optional<Entry> entry;
  };

 private:
  using Chunk = std::vector<Entry>;
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

 public:
  // Lives no longer than the map it is of.
  class const_iterator {
   public:
    const Entry& operator*() const { return (*(*chunks_)[chunk_])[index_]; }
    const Entry* operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++index_ == (*chunks_)[chunk_]->size()) NextChunk();
      return *this;
    }
    bool operator==(const const_iterator& other) const {
      return chunk_ == other.chunk_ && index_ == other.index_;
    }
    bool operator!=(const const_iterator& other) const { return !(*this == other); }

   private:
    friend class SharedMap;
    const_iterator(const Chunks* chunks, size_t chunk, size_t index)
        : chunks_(chunks), chunk_(chunk), index_(index) {}
    bool at_end() const { return chunk_ == chunks_->size(); }
    void NextChunk() {
      ++chunk_;
      index_ = 0;
    }
    // Whether what follows in the chunk is the same memory in both.
    bool SharesWith(const const_iterator& other) const {
      return !at_end() && !other.at_end() && index_ == other.index_ &&
             (*chunks_)[chunk_] == (*other.chunks_)[other.chunk_];
    }

    const Chunks* chunks_;
    size_t chunk_, index_;
  };

  const_iterator begin() const { return const_iterator(&chunks_, 0, 0); }
  const_iterator end() const { return const_iterator(&chunks_, chunks_.size(), 0); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The first entry whose key is `key` or above, or above.
  const_iterator LowerBound(absl::string_view key) const {
    return Bound(key, [](absl::string_view a, absl::string_view b) { return a < b; });
  }
  const_iterator UpperBound(absl::string_view key) const {
    return Bound(key, [](absl::string_view a, absl::string_view b) { return a <= b; });
  }
  // Null when there is none.
  const Entry* Find(absl::string_view key) const {
    const const_iterator it = LowerBound(key);
    return it == end() || it->key() != key ? nullptr : &*it;
  }

  // The map with these changes. Of several of one key the last counts; taking out what is not there
  // changes nothing.
  SharedMap With(std::vector<Change> changes) const {
    std::stable_sort(changes.begin(), changes.end(),
                     [](const Change& a, const Change& b) { return a.key < b.key; });
    SharedMap next;
    next.chunks_.reserve(chunks_.size() + 1);
    size_t copied = 0;
    for (auto from = changes.begin(); from != changes.end();) {
      const size_t chunk = ChunkFor(from->key);
      next.Share(*this, copied, chunk);
      auto to = changes.end();
      if (chunk + 1 < chunks_.size()) {
        const absl::string_view behind = chunks_[chunk + 1]->front().key();
        to = std::find_if(from, changes.end(), [behind](const Change& change) {
          return absl::string_view(change.key) >= behind;
        });
      }
      next.Add(Merge(chunk < chunks_.size() ? *chunks_[chunk] : Chunk(), from, to));
      copied = chunk + 1;
      from = to;
    }
    next.Share(*this, copied, chunks_.size());
    return next;
  }

  // Calls `tell(old_entry, new_entry)`, null where there is none, for all keys above `above` whose
  // entries differ, in their order, until it says false.
  template <typename Tell>
  static void Diff(const SharedMap& before, const SharedMap& after, absl::string_view above,
                   const Tell& tell) {
    const_iterator a = above.empty() ? before.begin() : before.UpperBound(above);
    const_iterator b = above.empty() ? after.begin() : after.UpperBound(above);
    while (!a.at_end() || !b.at_end()) {
      if (a.SharesWith(b)) {
        a.NextChunk();
        b.NextChunk();
      } else if (b.at_end() || (!a.at_end() && a->key() < b->key())) {
        if (!tell(&*a, static_cast<const Entry*>(nullptr))) return;
        ++a;
      } else if (a.at_end() || b->key() < a->key()) {
        if (!tell(static_cast<const Entry*>(nullptr), &*b)) return;
        ++b;
      } else {
        if (!(*a == *b) && !tell(&*a, &*b)) return;
        ++a;
        ++b;
      }
    }
  }

 private:
  // The chunk that a key is or would be in; 0 where there is none.
  size_t ChunkFor(absl::string_view key) const {
    const auto above =
        std::upper_bound(chunks_.begin(), chunks_.end(), key,
                         [](absl::string_view k, const std::shared_ptr<const Chunk>& chunk) {
                           return k < chunk->front().key();
                         });
    return above == chunks_.begin() ? 0 : static_cast<size_t>(above - chunks_.begin()) - 1;
  }

  template <typename Below>
  const_iterator Bound(absl::string_view key, const Below& below) const {
    if (chunks_.empty()) return end();
    const size_t chunk = ChunkFor(key);
    const Chunk& entries = *chunks_[chunk];
    const auto found = std::lower_bound(
        entries.begin(), entries.end(), key,
        [&below](const Entry& entry, absl::string_view k) { return below(entry.key(), k); });
    if (found == entries.end()) return const_iterator(&chunks_, chunk + 1, 0);
    return const_iterator(&chunks_, chunk, static_cast<size_t>(found - entries.begin()));
  }

  void Share(const SharedMap& from, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      chunks_.push_back(from.chunks_[i]);
      size_ += from.chunks_[i]->size();
    }
  }

  // Entries that follow all there are, in as many chunks as they need.
  void Add(Chunk entries) {
    size_ += entries.size();
    const size_t count = (entries.size() + kMaxChunk - 1) / kMaxChunk;
    auto from = entries.begin();
    for (size_t i = 0; i < count; ++i) {
      const auto left = static_cast<size_t>(entries.end() - from);
      const auto to = from + static_cast<ptrdiff_t>((left + count - i - 1) / (count - i));
      chunks_.push_back(std::make_shared<const Chunk>(std::make_move_iterator(from),
                                                      std::make_move_iterator(to)));
      from = to;
    }
  }

  template <typename Iterator>
  static Chunk Merge(const Chunk& entries, Iterator from, Iterator to) {
    Chunk merged;
    merged.reserve(entries.size() + static_cast<size_t>(to - from));
    auto entry = entries.begin();
    for (; from != to; ++from) {
      while (entry != entries.end() && entry->key() < from->key) merged.push_back(*entry++);
      if (entry != entries.end() && entry->key() == from->key) ++entry;
      const bool last = std::next(from) == to || std::next(from)->key != from->key;
      if (last && from->entry.has_value()) merged.push_back(*std::move(from->entry));
    }
    merged.insert(merged.end(), entry, entries.end());
    return merged;
  }

  // None is empty.
  Chunks chunks_;
  size_t size_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_SHARED_MAP_H_
