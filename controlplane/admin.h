#ifndef BYRNIE_CONTROLPLANE_ADMIN_H_
#define BYRNIE_CONTROLPLANE_ADMIN_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/event/event_loop.h"
#include "common/http/http_router.h"
#include "common/http/http_server.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/authority.h"
#include "controlplane/page/mesh_page.h"
#include "controlplane/registry/registry.h"

namespace byrnie {

// What the admin pages show; all outlive the server.
struct AdminSources {
  const Authority* authority;
  const AgentTable* agents;
  const Registry* registry;
  MetricRegistry* metrics;
  const Clock* clock;
  Logger* logger;
  const MutationGuard* guard;
  // Shown where the address is this machine's alone: who talks to whom is not for everybody.
  MeshPage* mesh;
  // Why agents are better sent to another control plane; OK: they are not.
  std::function<absl::Status()> readiness;
  // Why it does not run any more as it should, and is to be started anew; OK: it runs.
  std::function<absl::Status()> liveness;
};

// Serves "/" for people, "/metrics", "/healthz" (whether it runs: 200, or 503 and why), "/readyz"
// (whether agents may be sent to it: likewise), "/registry" (JSON) and, where `address` is a
// loopback address, the mesh page as "/mesh" and "/mesh.json", and "POST /logging?level=LEVEL" for
// whom the guard lets in, on `loop`. Shows nothing secret. Errors as HttpServer::Create.
absl::StatusOr<std::unique_ptr<HttpServer>> StartAdminServer(EventLoop* loop,
                                                             const SocketAddress& address,
                                                             const AdminSources& sources);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ADMIN_H_
