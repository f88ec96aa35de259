#include "proxy/hello_room.h"

#include <cstdint>

namespace byrnie {

HelloRoom::Part::Part(HelloRoom* room, const IpAddress& source)
    : room_(room), source_(SourceKey(source)) {}

HelloRoom::Part::~Part() {
  if (bytes_ > 0) room_->Remove(source_, bytes_);
}

bool HelloRoom::Part::Grow(size_t bytes) {
  if (bytes > kAll - room_->used_) return false;
  const auto it = room_->sources_.find(source_);
  const size_t of_source = it == room_->sources_.end() ? 0 : it->second;
  if (bytes > kPerSource - of_source) return false;
  if (bytes == 0) return true;
  room_->Add(source_, bytes);
  bytes_ += bytes;
  return true;
}

void HelloRoom::Add(const IpAddress& source, size_t bytes) {
  sources_[source] += bytes;
  used_ += bytes;
  shown_->Add(static_cast<int64_t>(bytes));
}

void HelloRoom::Remove(const IpAddress& source, size_t bytes) {
  const auto it = sources_.find(source);
  it->second -= bytes;
  if (it->second == 0) sources_.erase(it);
  used_ -= bytes;
  shown_->Add(-static_cast<int64_t>(bytes));
}

}  // namespace byrnie
