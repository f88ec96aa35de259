#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_ROUTE_STEPS_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_ROUTE_STEPS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/net/socket_address.h"
#include "controlplane/explain/explain.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/explain/party_steps.h"

namespace byrnie {

// A workload that a connection may go to, and where its application is reached.
struct RouteTarget {
  MeshView::Workload workload;
  SocketAddress address;
};

// Where a connection may go.
struct Route {
  std::vector<ExplainStep> steps;
  // Empty: nowhere, which the last step says.
  std::vector<RouteTarget> targets;
};

// What the source's proxy makes of a destination: the workload itself, or the usable endpoints of a
// service.
Route FindRoute(const MeshView& view, const Party& source, const std::string& destination,
                uint16_t port);

// Whether source and destination speak the same protocol.
ExplainStep ProtocolStep(const Party& source, const Party& destination);

// What is to be said of a client in plaintext.
ExplainStep InboundModeStep(const SocketAddress& target);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_ROUTE_STEPS_H_
