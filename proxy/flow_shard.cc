#include "proxy/flow_shard.h"

#include <utility>

namespace byrnie {

FlowShard::FlowShard(EventLoop* loop, size_t max_bytes, Sink sink)
    : loop_(loop), map_(max_bytes), sink_(std::move(sink)) {}

FlowShard::Handle FlowShard::Touch(const FlowKeyView& key, const IpAddress& source,
                                   absl::string_view reason) {
  // What has been told need not be kept, so that nothing is lost for want of room.
  if (!map_.Fits(key)) Flush();
  const Handle handle = map_.Touch(key);
  if (handle == nullptr) {
    changed_ = true;  // What is left out is told, too.
    return nullptr;
  }
  Flow& flow = handle->flow;
  ++flow.opened;
  flow.source = source;
  reason = reason.substr(0, Flow::kMaxReason);
  if (flow.reason != reason) flow.reason = std::string(reason);
  if (flow.first_seen == absl::Time()) flow.first_seen = loop_->WallNow();
  MarkChanged(handle);
  return handle;
}

void FlowShard::MarkChanged(Handle handle) {
  handle->changed = true;
  handle->flow.last_seen = loop_->WallNow();
  changed_ = true;
}

FlowShard::Handle FlowShard::Open(const FlowKeyView& key, const IpAddress& source,
                                  absl::string_view reason) {
  const Handle handle = Touch(key, source, reason);
  if (handle != nullptr) ++handle->holders;
  return handle;
}

void FlowShard::AddBytes(Handle handle, uint64_t sent, uint64_t received) {
  if (handle == nullptr) return;
  handle->flow.bytes_sent += sent;
  handle->flow.bytes_received += received;
  MarkChanged(handle);
}

void FlowShard::Close(Handle handle) {
  if (handle == nullptr) return;
  ++handle->flow.closed;
  --handle->holders;
  MarkChanged(handle);
}

void FlowShard::NoteRefused(const FlowKeyView& key, const IpAddress& source,
                            absl::string_view reason) {
  if (key.destination.port() == 0) return;  // It never came to where it was to lead.
  const Handle handle = Touch(key, source, reason);
  if (handle != nullptr) ++handle->flow.closed;
}

void FlowShard::Flush() {
  if (!changed_) return;
  changed_ = false;
  std::vector<Flow> changes;
  for (auto it = map_.entries().begin(); it != map_.entries().end();) {
    FlowMap::Entry* const entry = &*it++;
    if (entry->changed) {
      changes.push_back(entry->flow);
      Flow& flow = entry->flow;
      flow.opened = flow.closed = flow.bytes_sent = flow.bytes_received = 0;
      entry->changed = false;
    }
    if (entry->holders == 0) map_.Erase(entry);
  }
  const uint64_t left_out = map_.left_out() - std::exchange(told_left_out_, map_.left_out());
  sink_(std::move(changes), left_out);
}

}  // namespace byrnie
