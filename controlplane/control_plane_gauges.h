#ifndef BYRNIE_CONTROLPLANE_CONTROL_PLANE_GAUGES_H_
#define BYRNIE_CONTROLPLANE_CONTROL_PLANE_GAUGES_H_

#include <functional>

#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/authority.h"
#include "controlplane/registry/registry.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/server/server_identity.h"

namespace byrnie {

// What the metrics of the control plane as a whole are read from, on any thread.
struct GaugeSources {
  const Authority* authority;
  const ServerIdentity* identity;
  const AgentTable* agents;
  const Registry* registry;
  const RegistrySources* registry_sources;
  const Logger* logger;
  // Whether this is the one that makes keys of JWT-SVIDs.
  std::function<bool()> makes_jwt_keys;
};

// Adds those that are looked up when somebody asks. What `from` points to outlives `metrics`' last
// answer.
void AddControlPlaneGauges(const GaugeSources& from, MetricRegistry* metrics);

// Likewise, where there is a webhook; `identity` is its own.
void AddWebhookGauge(const ServerIdentity* identity, MetricRegistry* metrics);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CONTROL_PLANE_GAUGES_H_
