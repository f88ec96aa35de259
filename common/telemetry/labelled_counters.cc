#include "common/telemetry/labelled_counters.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace byrnie {

LabelledCounters::Set* LabelledCounters::Shard::Find(absl::Span<const absl::string_view> values) {
  DCHECK(values.size() == labels_);
  // Lengths in front: no value can pretend to be two.
  key_.clear();
  for (const absl::string_view value : values) {
    const uint32_t size = static_cast<uint32_t>(value.size());
    key_.append(reinterpret_cast<const char*>(&size), sizeof(size));
    key_.append(value.data(), value.size());
  }
  const auto found = by_key_.find(key_);
  if (found != by_key_.end()) return found->second;
  if (by_key_.size() >= limit_) {
    folded_.fetch_add(1, std::memory_order_relaxed);
    if (folded_set_ == nullptr) {
      folded_set_ = Publish(std::vector<std::string>(labels_, std::string(kFolded)));
    }
    return folded_set_;
  }
  Set* set = Publish(std::vector<std::string>(values.begin(), values.end()));
  by_key_.emplace(key_, set);
  return set;
}

LabelledCounters::Set* LabelledCounters::Shard::Publish(std::vector<std::string> values) {
  owned_.push_back(std::unique_ptr<Set>(new Set(std::move(values))));
  Set* set = owned_.back().get();
  // Complete before it is seen.
  set->next_ = head_.load(std::memory_order_relaxed);
  head_.store(set, std::memory_order_release);
  return set;
}

LabelledCounters::LabelledCounters(size_t labels, size_t limit, size_t shards) {
  CHECK(shards > 0);
  const size_t each = std::max<size_t>(1, limit / shards);
  for (size_t i = 0; i < shards; ++i) {
    shards_.push_back(std::unique_ptr<Shard>(new Shard(labels, each)));
  }
}

LabelledCounters::~LabelledCounters() = default;

std::vector<const LabelledCounters::Set*> LabelledCounters::TakeNew(Mark* mark) const {
  mark->heads_.resize(shards_.size(), nullptr);
  std::vector<const Set*> found;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const Set* const head = shards_[i]->head_.load(std::memory_order_acquire);
    for (const Set* set = head; set != mark->heads_[i]; set = set->next_) found.push_back(set);
    mark->heads_[i] = head;
  }
  return found;
}

uint64_t LabelledCounters::folded() const {
  uint64_t total = 0;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    total += shard->folded_.load(std::memory_order_relaxed);
  }
  return total;
}

}  // namespace byrnie
