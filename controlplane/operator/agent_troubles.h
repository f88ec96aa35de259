#ifndef BYRNIE_CONTROLPLANE_OPERATOR_AGENT_TROUBLES_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_AGENT_TROUBLES_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "controlplane/agents/agent_table.h"

namespace byrnie {

// What agents are held against.
struct AgentYardstick {
  // Certificates are dated back by a minute; half of it is time to do something.
  static constexpr absl::Duration kMaxClockOffset = absl::Seconds(30);

  // Who says so.
  std::string control_plane;
  absl::Time now;
  // Of the trust bundles in force here.
  uint64_t bundle_version = 0;
  // No certificate lives longer.
  absl::Duration workload_ttl = absl::InfiniteDuration();
  // Serials of certificates.
  std::set<std::string> revoked;
};

// What is not as it should be about an agent, by number; empty: nothing. Pure.
std::vector<byrnie::operator_::v1::Agent::Trouble> TroublesOf(const AgentTable::Agent& agent,
                                                              const AgentYardstick& yardstick);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_AGENT_TROUBLES_H_
