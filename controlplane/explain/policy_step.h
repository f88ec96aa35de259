#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_

#include "common/net/socket_address.h"
#include "controlplane/explain/explain.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/explain/party_steps.h"

namespace byrnie {

// What the destination's proxy will decide, by the very function it decides with, about a
// connection to `target`. Plaintext is asked about as where it is admitted.
ExplainStep PolicyStep(const MeshView& view, const Party& source, const Party& destination,
                       const SocketAddress& target);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_
