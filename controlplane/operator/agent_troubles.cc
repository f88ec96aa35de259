#include "controlplane/operator/agent_troubles.h"

#include <algorithm>

namespace byrnie {

constexpr absl::Duration AgentYardstick::kMaxClockOffset;

std::vector<byrnie::operator_::v1::Agent::Trouble> TroublesOf(const AgentTable::Agent& agent,
                                                              const AgentYardstick& yardstick) {
  using V1 = byrnie::operator_::v1::Agent;
  std::vector<V1::Trouble> troubles;
  if (agent.certificate_not_after.has_value()) {
    const absl::Duration left = *agent.certificate_not_after - yardstick.now;
    // It is renewed at half its life: by then something is in the way.
    const absl::Duration soon =
        std::min(absl::Duration(absl::Minutes(5)), yardstick.workload_ttl / 4);
    if (left <= absl::ZeroDuration()) {
      troubles.push_back(V1::TROUBLE_CERTIFICATE_ENDED);
    } else if (yardstick.revoked.count(agent.certificate_serial) > 0) {
      troubles.push_back(V1::TROUBLE_CERTIFICATE_REVOKED);
    } else if (agent.connected && left < soon) {
      troubles.push_back(V1::TROUBLE_CERTIFICATE_ENDS_SOON);
    }
  }
  // Of one that is not connected these are as old as its last word.
  if (!agent.connected) return troubles;
  if (agent.acknowledged_bundle_version < yardstick.bundle_version) {
    troubles.push_back(V1::TROUBLE_BUNDLE_BEHIND);
  }
  if (agent.clock_offset.has_value() &&
      absl::AbsDuration(*agent.clock_offset) > AgentYardstick::kMaxClockOffset) {
    troubles.push_back(V1::TROUBLE_CLOCK_WRONG);
  }
  return troubles;
}

}  // namespace byrnie
