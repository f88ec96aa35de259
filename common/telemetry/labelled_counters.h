#ifndef BYRNIE_COMMON_TELEMETRY_LABELLED_COUNTERS_H_
#define BYRNIE_COMMON_TELEMETRY_LABELLED_COUNTERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace byrnie {

// Counters whose label values appear while the program runs, for example those of a peer, in
// bounded number: beyond the limit all further combinations are counted together. Each thread has a
// shard of its own, which only it fills, and nothing on its way waits: a combination, once there,
// is never moved, changed but for its counts, or removed before the end, so that a reader walks the
// shards while they are written. A combination that is no longer used keeps its place: a counter
// that went away and came back would look like a restart.
class LabelledCounters {
 public:
  // Counters of a combination.
  static constexpr size_t kMaxCounters = 4;
  // Each label's value in the combination that takes what is beyond the limit.
  static constexpr absl::string_view kFolded = "unknown";

  // One combination of label values. Thread-safe but for its making.
  class Set {
   public:
    void Add(size_t counter, uint64_t by) {
      counts_[counter].fetch_add(by, std::memory_order_relaxed);
    }
    uint64_t count(size_t counter) const {
      return counts_[counter].load(std::memory_order_relaxed);
    }
    const std::vector<std::string>& values() const { return values_; }

   private:
    friend class LabelledCounters;
    explicit Set(std::vector<std::string> values) : values_(std::move(values)) {}

    const std::vector<std::string> values_;
    std::atomic<uint64_t> counts_[kMaxCounters] = {};
    Set* next_ = nullptr;
  };

  // The combinations of one thread. Owned by its LabelledCounters.
  class Shard {
   public:
    // The combination of these values, one per label in the order of the labels; made if it is new,
    // the folded one if there are too many. Never null; lives as long as the LabelledCounters.
    Set* Find(absl::Span<const absl::string_view> values);

   private:
    friend class LabelledCounters;
    Shard(size_t labels, size_t limit) : labels_(labels), limit_(limit) {}
    Set* Publish(std::vector<std::string> values);

    const size_t labels_;
    const size_t limit_;
    // Used by the shard's thread only.
    absl::flat_hash_map<std::string, Set*> by_key_;
    std::string key_;
    Set* folded_set_ = nullptr;
    std::vector<std::unique_ptr<Set>> owned_;
    // Read by all.
    std::atomic<Set*> head_{nullptr};
    std::atomic<uint64_t> folded_{0};
  };

  // `limit` combinations over all of `shards`, which share it evenly; at least one each.
  LabelledCounters(size_t labels, size_t limit, size_t shards);
  LabelledCounters(const LabelledCounters&) = delete;
  LabelledCounters& operator=(const LabelledCounters&) = delete;
  ~LabelledCounters();

  // Not owned; `index` is below the number of shards. To be used on one thread.
  Shard* shard(size_t index) const { return shards_[index].get(); }

  // How far a reader has come; a new one is at the beginning.
  class Mark {
    friend class LabelledCounters;
    std::vector<const Set*> heads_;  // By shard.
  };
  // What has been published since `mark`, which moves on, in no order; a combination of several
  // shards is listed once for each. From any thread; the sets live as long as this.
  std::vector<const Set*> TakeNew(Mark* mark) const;
  // How many times Find gave the folded combination.
  uint64_t folded() const;

 private:
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_LABELLED_COUNTERS_H_
