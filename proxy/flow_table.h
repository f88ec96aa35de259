#ifndef BYRNIE_PROXY_FLOW_TABLE_H_
#define BYRNIE_PROXY_FLOW_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "proxy/flow.h"
#include "proxy/flow_map.h"

namespace byrnie {

// What all workers have seen of connections since the process began, as far as it has room. An edge
// with connections open keeps its place. Lives on the control loop.
class FlowTable {
 public:
  explicit FlowTable(size_t max_bytes) : map_(max_bytes) {}
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  // Adds what a worker's shard told.
  void Merge(std::vector<Flow> changes, uint64_t left_out);

  // At most `max` edges that have changed since they were taken, the most recently seen first.
  std::vector<Flow> TakeChanged(size_t max);
  void MarkAllChanged();
  bool changed() const;

  size_t size() const { return map_.size(); }
  size_t bytes() const { return map_.bytes(); }
  // Edges dropped before they were taken, the workers' included.
  uint64_t left_out() const { return map_.left_out() + left_out_by_workers_; }

 private:
  FlowMap map_;
  uint64_t left_out_by_workers_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_TABLE_H_
