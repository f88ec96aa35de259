#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_

#include <memory>

#include "common/net/socket_address.h"
#include "common/policy/authorizer.h"
#include "controlplane/explain/explain.h"
#include "controlplane/explain/party_steps.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// All policies of the registry, as proxies have them; null: they would reject them as a whole.
std::shared_ptr<const PolicySet> PoliciesOf(const RegistrySnapshot& registry);

// What the destination's proxy will decide, by the very function it decides with, about a
// connection to `target`. Plaintext is asked about as where it is admitted.
ExplainStep PolicyStep(const PolicySet* policies, const Party& source, const Party& destination,
                       const SocketAddress& target);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_POLICY_STEP_H_
