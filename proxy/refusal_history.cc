#include "proxy/refusal_history.h"

#include <algorithm>

namespace byrnie {

void RefusalHistory::Sample(absl::Duration now, std::vector<uint64_t> counts) {
  samples_.emplace_back(now, std::move(counts));
  if (samples_.size() > kSamples) samples_.pop_front();
}

std::vector<uint64_t> RefusalHistory::Since(absl::Duration since,
                                            const std::vector<uint64_t>& counts) const {
  std::vector<uint64_t> grown = counts;
  if (samples_.empty()) return grown;
  const std::vector<uint64_t>* base = &samples_.front().second;
  for (const auto& [time, values] : samples_) {
    if (time <= since) base = &values;
  }
  for (size_t i = 0; i < std::min(grown.size(), base->size()); ++i) grown[i] -= (*base)[i];
  return grown;
}

}  // namespace byrnie
