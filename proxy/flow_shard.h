#ifndef BYRNIE_PROXY_FLOW_SHARD_H_
#define BYRNIE_PROXY_FLOW_SHARD_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "proxy/flow.h"
#include "proxy/flow_map.h"

namespace byrnie {

// What one worker has seen of connections since it last told, which it does in its sweeps and when
// there is no room: between two tellings it keeps what has changed and what is open, so that an
// idle worker keeps nothing and does nothing. Lives on the worker's loop.
class FlowShard {
 public:
  // Takes what has changed: counts are since the last call. `left_out`: edges dropped since then.
  using Sink = absl::AnyInvocable<void(std::vector<Flow> changes, uint64_t left_out)>;
  // Of one connection while it is open.
  using Handle = FlowMap::Entry*;

  FlowShard(EventLoop* loop, size_t max_bytes, Sink sink);
  FlowShard(const FlowShard&) = delete;
  FlowShard& operator=(const FlowShard&) = delete;

  // A connection begins to be carried. Null: there is no room for its edge; nothing is counted.
  Handle Open(const FlowKeyView& key, const IpAddress& source, absl::string_view reason);
  // `handle` may be null.
  void AddBytes(Handle handle, uint64_t sent, uint64_t received);
  void Close(Handle handle);
  // A connection ended without having been carried.
  void NoteRefused(const FlowKeyView& key, const IpAddress& source, absl::string_view reason);

  // Tells what has changed, if anything has.
  void Flush();

 private:
  Handle Touch(const FlowKeyView& key, const IpAddress& source, absl::string_view reason);
  void MarkChanged(Handle handle);

  EventLoop* const loop_;  // Not owned.
  FlowMap map_;
  Sink sink_;
  bool changed_ = false;
  uint64_t told_left_out_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_SHARD_H_
