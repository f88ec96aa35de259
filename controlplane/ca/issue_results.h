#ifndef BYRNIE_CONTROLPLANE_CA_ISSUE_RESULTS_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUE_RESULTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Counts one kind of request, by what became of it. Thread-safe.
class IssueResults {
 public:
  IssueResults(MetricRegistry* metrics, const char* name, const char* help);

  void Count(const absl::Status& status) const;
  uint64_t issued() const { return issued_->value(); }

 private:
  Counter *const issued_, *const unauthenticated_, *const invalid_, *const throttled_,
                                                                        *const failed_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUE_RESULTS_H_
