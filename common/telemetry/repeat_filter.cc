#include "common/telemetry/repeat_filter.h"

#include <algorithm>
#include <utility>

namespace byrnie {

absl::optional<uint64_t> RepeatFilter::Admit(absl::string_view reason, absl::Duration now) {
  const auto known = std::find_if(said_.begin(), said_.end(),
                                  [reason](const Said& said) { return said.reason == reason; });
  if (known != said_.end()) {
    if (now - known->at < interval_) {
      ++unsaid_;
      return absl::nullopt;
    }
    said_.erase(known);
  } else if (said_.size() == kReasons) {
    said_.erase(said_.begin());
  }
  said_.push_back({std::string(reason), now});
  return std::exchange(unsaid_, 0);
}

void RepeatFilter::Reset() {
  said_.clear();
  unsaid_ = 0;
}

}  // namespace byrnie
