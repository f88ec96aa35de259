#ifndef BYRNIE_CERTAGENT_ENDPOINT_SET_H_
#define BYRNIE_CERTAGENT_ENDPOINT_SET_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Several addresses of one service, of which one is used at a time: the one that worked last, until
// it fails; then the next that is not known to be failing. The first to be used is the first of the
// list; the order of the others is this process's own, so that a thousand agents whose control
// plane is gone do not all go to the same one. One that failed is left alone for a second, doubling
// to a minute; where all are, the one that is free first is used all the same, because whoever asks
// has a back-off of its own. Lives on one thread; time is a parameter.
class EndpointSet {
 public:
  // `service` is what the metrics call it; `targets` is not empty. `metrics` and `random` outlive
  // the set.
  EndpointSet(const std::string& service, std::vector<std::string> targets, MetricRegistry* metrics,
              absl::BitGenRef random);
  EndpointSet(const EndpointSet&) = delete;
  EndpointSet& operator=(const EndpointSet&) = delete;

  const std::string& target(size_t index) const { return endpoints_[index].target; }
  // The one to use now, from an index on.
  size_t Choose(absl::Duration now) const;
  // What became of a call there. A refusal that another endpoint would repeat, such as that of a
  // proof, is an answer like any other.
  void OnCallEnded(size_t index, const absl::Status& status, absl::Duration now);
  // There is one besides `index` that is not known to be failing.
  bool HasAnother(size_t index, absl::Duration now) const;
  // How long to wait for an answer of `index`: while there is another to ask about three seconds,
  // each time a little more or less, so that those who wait for one that hangs do not all give it
  // up at once; else `longest`, because nothing is gained by giving up.
  absl::Duration PatienceWith(size_t index, absl::Duration longest, absl::Duration now) const;

 private:
  struct Endpoint {
    std::string target;
    int failures = 0;
    absl::Duration free_at = -absl::InfiniteDuration();
    Gauge* in_use;
    Counter* failed;
  };

  void SetPreferred(size_t index);

  mutable absl::BitGenRef random_;  // Not owned.
  // In the order in which they are tried.
  std::vector<Endpoint> endpoints_;
  size_t preferred_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ENDPOINT_SET_H_
