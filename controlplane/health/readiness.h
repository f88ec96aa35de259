#ifndef BYRNIE_CONTROLPLANE_HEALTH_READINESS_H_
#define BYRNIE_CONTROLPLANE_HEALTH_READINESS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/ca/authority.h"

namespace byrnie {

// Whether agents are to be sent to this control plane, as load balancers ask it: not while it would
// refuse every certificate, be it as healthy as can be otherwise. That it runs at all (liveness) is
// another question, and no reason to start it again. Lives on one loop; the pointers outlive it.
class Readiness {
 public:
  // Takes the name of a gRPC service, empty for the server as a whole, and whether it serves.
  using Report = std::function<void(const std::string& service, bool serving)>;

  // `issuing` are the services that issue certificates, `others` those that are as good without.
  Readiness(const Authority* authority, std::vector<std::string> issuing,
            std::vector<std::string> others, Logger* logger, MetricRegistry* metrics);

  // Looks, and reports every service at first, then those for which the answer has changed. To be
  // called about twice a second.
  void Update(const Report& report);

  // Why agents are better sent to another one; OK: they are not.
  absl::Status Check() const { return authority_->CheckIssues(); }

 private:
  const Authority* const authority_;  // Not owned.
  const std::vector<std::string> issuing_, others_;
  Logger* const logger_;  // Not owned.
  Gauge* const ready_;    // Not owned.
  // Absent until the first look.
  absl::optional<bool> reported_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_HEALTH_READINESS_H_
