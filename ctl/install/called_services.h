#ifndef BYRNIE_CTL_INSTALL_CALLED_SERVICES_H_
#define BYRNIE_CTL_INSTALL_CALLED_SERVICES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/install/cluster_api.h"
#include "deploy/injector/json.h"

namespace byrnie {

// A Service that the API server itself is a client of, without a sidecar: strict pods behind it
// refuse it. A value.
struct CalledService {
  std::string ns, name;
  // What tells it to, "ValidatingWebhookConfiguration policy".
  std::string by;
};

// All of them, but the injector. A value.
struct CalledServices {
  std::vector<CalledService> found;
  // Kinds that could not be looked at, with why.
  std::vector<std::string> unknown;
};

// Those that an object of one of the kinds below names; none where it names URLs, or nothing. Pure.
std::vector<CalledService> ServicesCalledBy(const std::string& kind, const Json& object);

// Looks at webhooks of both kinds, of which `mutating` are known, definitions whose objects are
// converted by a webhook, and aggregated APIs.
CalledServices FindCalledServices(ClusterApi* cluster,
                                  const absl::StatusOr<std::vector<Json>>& mutating);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_CALLED_SERVICES_H_
