#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_PARTY_STEPS_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_PARTY_STEPS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "controlplane/explain/explain.h"
#include "controlplane/explain/mesh_view.h"

namespace byrnie {

// One end of a connection.
struct Party {
  // "source" or "destination".
  absl::string_view role;
  // "demo/client", or its address.
  std::string name;
  // Absent: the registry does not have it.
  absl::optional<MeshView::Workload> workload;
  // What the registry says it proves; absent: it is outside the mesh.
  absl::optional<SpiffeId> expected;
  // What it proves: what its connected agent does, else as expected.
  absl::optional<SpiffeId> proven;
  // Empty: none is known.
  std::vector<IpAddress> addresses;

  bool in_mesh() const { return proven.has_value(); }
};

// Fills `proven` in.
void LookForAgent(const MeshView& view, Party* party);

// The address of the connection of the agent that speaks for a party, "ip:port"; empty: of none.
std::string ConnectionOf(const MeshView& view, const Party& party);

// Whether a party in the mesh can prove itself: certificate, agent, identity, clock and (where its
// agent has been asked) proxy, in this order.
std::vector<ExplainStep> PartySteps(const MeshView& view, const Party& party);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_PARTY_STEPS_H_
