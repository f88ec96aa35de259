#include "proxy/hello_room.h"

namespace byrnie {

HelloRoom::Part::Part(HelloRoom* room, const IpAddress& source)
    : room_(room), source_(SourceKey(source)) {}

HelloRoom::Part::~Part() {
  if (bytes_ == 0) return;
  room_->used_ -= bytes_;
  const auto it = room_->sources_.find(source_);
  it->second -= bytes_;
  if (it->second == 0) room_->sources_.erase(it);
}

bool HelloRoom::Part::Grow(size_t bytes) {
  if (bytes > kAll - room_->used_) return false;
  const auto it = room_->sources_.find(source_);
  const size_t of_source = it == room_->sources_.end() ? 0 : it->second;
  if (bytes > kPerSource - of_source) return false;
  if (bytes == 0) return true;
  room_->sources_[source_] += bytes;
  room_->used_ += bytes;
  bytes_ += bytes;
  return true;
}

}  // namespace byrnie
