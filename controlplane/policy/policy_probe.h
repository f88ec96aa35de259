#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_

#include <set>
#include <string>

#include "absl/container/btree_set.h"
#include "controlplane/policy/match_sets.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What the registry has that a policy is tried on. Empty sets: that is not known, or there is none.
struct ProbeGround {
  std::set<std::string> trust_domains;
  // Of peers, as policies name them.
  std::set<std::string> principals;
  // Of all its workloads, as bytes: a tree of many to a node, for there may be very many.
  absl::btree_set<std::string> sources;
  // Of the workloads that the policy is about: connections to them come from addresses of their
  // families alone.
  AddressBlocks addresses;
};

// What a policy matches, all its rules together.
struct ProbedReach {
  // Every peer of a trust domain of the registry, whatever its addresses and ports.
  bool every_identity = false;
  // Those of other trust domains and plaintext, too.
  bool everything = false;
  // Every principal of the registry from every source of it, whatever the port. False where either
  // is not known.
  bool everybody_known = false;
};

// Tries a valid policy on connections: peers, addresses and ports that it names, their neighbours,
// and some that nobody names, in every combination. So it sees what form alone does not show, such
// as two matches of which the one has what the other leaves out. Says false where there are too
// many combinations. Pure.
ProbedReach ProbeReach(const istio::security::Authorization& policy, const ProbeGround& ground);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_
