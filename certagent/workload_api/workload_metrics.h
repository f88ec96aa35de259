#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_METRICS_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_METRICS_H_

#include "common/telemetry/metrics.h"

namespace byrnie {

// What the workload's own APIs count; there also while they are off, so that a page always has the
// same families.
struct WorkloadMetrics {
  explicit WorkloadMetrics(MetricRegistry* metrics);

  Counter* accepted;
  Counter* refused_uid;
  Counter* refused_limit;
  Gauge* connections;
  Gauge* streams;
  Counter* updates;
  Counter* secrets_rejected;
  Counter* jwt_issued;
  Counter* jwt_cached;
  Counter* jwt_failed;
  Counter* jwt_validated;
  Counter* jwt_invalid;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_METRICS_H_
