#include "certagent/workload_api/stream_table.h"

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {

StreamTable::~StreamTable() { CHECK(streams_.empty()); }

absl::Status StreamTable::HasRoom() const {
  if (!ended_.ok()) return ended_;
  if (streams_.size() >= limit_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", limit_, " open streams; close some"));
  }
  return absl::OkStatus();
}

void StreamTable::Remove(LiveStream* stream) {
  std::unique_ptr<LiveStream> removed;  // Destroyed without the lock.
  absl::MutexLock lock(&mu_);
  auto it = streams_.find(stream);
  CHECK(it != streams_.end());
  removed = std::move(it->second);
  streams_.erase(it);
  count_->Add(-1);
}

void StreamTable::WakeAll() {
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) entry.first->Wake();
}

void StreamTable::EndAll(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  ended_ = status;
  for (auto& entry : streams_) entry.first->End(status);
}

}  // namespace byrnie
