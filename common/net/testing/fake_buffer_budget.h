#ifndef BYRNIE_COMMON_NET_TESTING_FAKE_BUFFER_BUDGET_H_
#define BYRNIE_COMMON_NET_TESTING_FAKE_BUFFER_BUDGET_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "common/net/buffer_budget.h"

namespace byrnie {

// A budget whose share the test says, with the sums to be seen.
class FakeBufferBudget final : public BufferBudget {
 public:
  size_t Share() const override { return share; }
  bool Plenty() const override { return share >= size_t{1} << 20; }
  size_t Spare() const override { return spare; }
  void Add(int64_t least_by, int64_t more_by, int64_t held_by) override {
    least += least_by;
    more += more_by;
    held += held_by;
    most_more = most_more < more ? more : most_more;
  }

  size_t share = std::numeric_limits<size_t>::max();
  size_t spare = 0;
  int64_t least = 0;
  int64_t more = 0;
  int64_t held = 0;
  int64_t most_more = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TESTING_FAKE_BUFFER_BUDGET_H_
