#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_

#include <set>
#include <string>

#include "controlplane/policy/address_set.h"
#include "controlplane/policy/known_texts.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What the registry has that a policy is tried on; it outlives this. Empty sets, and null: that is
// not known, or there is none.
struct ProbeGround {
  std::set<std::string> trust_domains;
  // Of peers, as policies name them.
  KnownTexts principals;
  // Of all its workloads.
  const AddressSet* sources = nullptr;
  // Of the workloads that the policy is about: connections to them come from addresses of their
  // families alone.
  const AddressSet* addresses = nullptr;
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
  // Nothing of it was tried: there is too much.
  bool too_large = false;
};

// Tries a valid policy on connections: peers, addresses and ports that it names, their neighbours,
// and some that nobody names, in every combination. So it sees what form alone does not show, such
// as two matches of which the one has what the other leaves out. Says false, and
// why, where there are too many combinations. Pure.
ProbedReach ProbeReach(const istio::security::Authorization& policy, const ProbeGround& ground);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_PROBE_H_
