#include "proxy/flow_table.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"

namespace byrnie {

void FlowTable::Merge(std::vector<Flow> changes, uint64_t left_out) {
  left_out_by_workers_ += left_out;
  for (Flow& change : changes) {
    FlowMap::Entry* const entry = map_.Touch(change.key->view(), change.key);
    if (entry == nullptr) continue;
    Flow& flow = entry->flow;
    if (flow.first_seen == absl::Time()) flow.first_seen = change.first_seen;
    flow.last_seen = std::max(flow.last_seen, change.last_seen);
    flow.reason = std::move(change.reason);
    flow.source = change.source;
    flow.opened += change.opened;
    flow.closed += change.closed;
    flow.bytes_sent += change.bytes_sent;
    flow.bytes_received += change.bytes_received;
    entry->holders = flow.opened > flow.closed ? 1 : 0;
    entry->changed = true;
  }
}

std::vector<Flow> FlowTable::TakeChanged(size_t max) {
  std::vector<Flow> taken;
  for (FlowMap::Entry& entry : map_.entries()) {
    if (taken.size() == max) break;
    if (!std::exchange(entry.changed, false)) continue;
    taken.push_back(entry.flow);
  }
  return taken;
}

void FlowTable::MarkAllChanged() {
  for (FlowMap::Entry& entry : map_.entries()) entry.changed = true;
}

bool FlowTable::changed() const {
  return absl::c_any_of(map_.entries(), [](const FlowMap::Entry& entry) { return entry.changed; });
}

}  // namespace byrnie
