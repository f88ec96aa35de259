#ifndef BYRNIE_PROXY_REFUSAL_HISTORY_H_
#define BYRNIE_PROXY_REFUSAL_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace byrnie {

// Earlier values of counters, to say how much they grew in the last minutes. A few samples of fixed
// number; lives on one loop.
class RefusalHistory {
 public:
  static constexpr size_t kSamples = 16;

  // `counts` are those at `now`, which does not run backwards; always as many.
  void Sample(absl::Duration now, std::vector<uint64_t> counts);
  // By how much `counts`, those of now, have grown since the last sample that is not younger than
  // `since`; since the first one if all are, and as they are if there is none.
  std::vector<uint64_t> Since(absl::Duration since, const std::vector<uint64_t>& counts) const;

 private:
  std::deque<std::pair<absl::Duration, std::vector<uint64_t>>> samples_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_REFUSAL_HISTORY_H_
