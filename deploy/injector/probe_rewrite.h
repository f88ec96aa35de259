#ifndef BYRNIE_DEPLOY_INJECTOR_PROBE_REWRITE_H_
#define BYRNIE_DEPLOY_INJECTOR_PROBE_REWRITE_H_

#include <set>
#include <string>
#include <vector>

#include "deploy/injector/json.h"

namespace byrnie {

// What became of a pod's health probes where the proxy is to make them. A value.
struct RewrittenProbes {
  // The proxy's --app_probes, see common/probe/app_probes.h; empty: none.
  Json for_proxy = Json::object();
  // What was there, by container and by the name of the probe, for RestoreProbes.
  Json originals = Json::object();
  // Those that stay as they are, and why.
  std::vector<std::string> warnings;
};

// Turns the HTTP, TCP and gRPC probes of the containers of a pod's `spec`, but those named in
// `ours`, into questions to the proxy, with their times and thresholds as they were. Left alone are
// probes that go to another host or to the sidecar itself, and where the sidecar is not `native`
// those of init containers, which start before it.
RewrittenProbes RewriteProbes(const std::set<std::string>& ours, bool native, Json* spec);

// Undoes it, where nobody has changed them since: what asks the proxy says itself which probe it
// was, also in a container that is called otherwise by now. `originals` may be anything.
void RestoreProbes(const Json& originals, Json* spec);

// "container app: its livenessProbe" of the first that asks the proxy; "" where none does.
std::string FindQuestion(const Json& spec);

// As an argument of a container: Kubernetes would replace $(NAME) in it.
std::string AppProbesText(const Json& for_proxy);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_PROBE_REWRITE_H_
