#ifndef BYRNIE_CONTROLPLANE_HEALTH_CONDITION_BOARD_H_
#define BYRNIE_CONTROLPLANE_HEALTH_CONDITION_BOARD_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/metrics.h"
#include "controlplane/health/condition.h"

namespace byrnie {

// The conditions as they were judged last, each since when it is so, for whoever asks: nobody waits
// for what is looked at. Thread-safe; the registry outlives it.
class ConditionBoard {
 public:
  explicit ConditionBoard(MetricRegistry* metrics);

  // Takes what was judged now. One whose state is what it was before keeps its time. `others` are
  // the other control planes of the store that were heard of.
  void Set(std::vector<Condition> conditions, std::vector<std::string> others = {});
  // Empty before the first Set.
  std::vector<Condition> Get() const;
  std::vector<std::string> others() const;

 private:
  std::map<std::string, Gauge*> gauges_;
  mutable absl::Mutex mu_;
  std::vector<Condition> conditions_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> others_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_HEALTH_CONDITION_BOARD_H_
