#ifndef BYRNIE_CONTROLPLANE_ATTEST_REVIEW_LIMITER_H_
#define BYRNIE_CONTROLPLANE_ATTEST_REVIEW_LIMITER_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controlplane/ca/issue_limiter.h"

namespace byrnie {

// How many reviews of tokens may be under way: each holds a thread of everybody's calls and costs
// the API server work. A token that is proven to be the API server's own has its place among all.
// One that may be anybody's has less room, so that those find none taken, and its source has a
// share in that and a rate, so that no one source keeps the others out. Not thread-safe.
class ReviewLimiter {
 public:
  struct Options {
    int most = 16;
    int most_unproven = 12;
    // Of unproven ones: at the same time, and in a second.
    int most_per_source = 4;
    int per_source_and_second = 10;
  };

  explicit ReviewLimiter(const Options& options);

  // OK: until End() with the same. Else Unavailable, come back later; `source` says who counts as
  // one, empty for those of whom nothing is known. `now` is monotonic.
  absl::Status Begin(const std::string& source, bool proven, absl::Duration now);
  void End(const std::string& source, bool proven);

 private:
  const Options options_;
  IssueLimiter rate_;
  int all_ = 0;
  int unproven_ = 0;
  // Those with unproven ones under way.
  std::map<std::string, int> by_source_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_REVIEW_LIMITER_H_
