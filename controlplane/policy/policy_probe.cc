#include "controlplane/policy/policy_probe.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "common/policy/connection_facts.h"
#include "common/policy/policy.h"
#include "common/policy/policy_conversion.h"

namespace byrnie {
namespace {

using istio::security::Authorization;

// Combinations beyond which nothing is said.
constexpr size_t kMaxCombinations = 200000;
// Matches tried on facts of one kind, the same.
constexpr size_t kMaxTried = 5000000;
// Texts and blocks that matches list, compared with facts of one kind, the same: a document has
// room for thousands of each, and thousands of facts come of them.
constexpr size_t kMaxCompared = 50000000;
// Peers of the registry that a policy is tried on; those that it names come besides.
constexpr size_t kMaxPrincipals = 1000;
// Named by nobody.
constexpr char kStranger[] = "byrnie-stranger";
constexpr char kForeign[] = "byrnie-stranger.example";

// Of which matches of the policy, in their order, one kind of facts holds.
using Signature = std::vector<bool>;
using Signatures = std::set<Signature>;

// The parts of a match that are about one kind of facts.
PolicyMatch OfPeer(const PolicyMatch& match) {
  PolicyMatch part;
  part.principals = match.principals;
  part.namespaces = match.namespaces;
  part.service_accounts = match.service_accounts;
  return part;
}
PolicyMatch OfSource(const PolicyMatch& match) {
  PolicyMatch part;
  part.source_ips = match.source_ips;
  return part;
}
PolicyMatch OfDestination(const PolicyMatch& match) {
  PolicyMatch part;
  part.destination_ips = match.destination_ips;
  return part;
}
PolicyMatch OfPort(const PolicyMatch& match) {
  PolicyMatch part;
  part.destination_ports = match.destination_ports;
  return part;
}

template <typename Visit>
void ForEachMatch(const Policy& policy, const Visit& visit) {
  for (const PolicyRule& rule : policy.rules) {
    for (const PolicyClause& clause : rule.clauses) {
      for (const PolicyMatch& match : clause.matches) visit(match);
    }
  }
}

// How much matches list of what is compared with peers, and with addresses.
size_t ListedPeers(const Policy& policy) {
  size_t count = 0;
  const auto of = [](const auto& list) { return list.any.size() + list.none.size(); };
  ForEachMatch(policy, [&](const PolicyMatch& match) {
    count += of(match.principals) + of(match.namespaces) + of(match.service_accounts);
  });
  return count;
}
size_t ListedBlocks(const Policy& policy, MatchList<CidrBlock> PolicyMatch::*const of) {
  size_t count = 0;
  ForEachMatch(policy, [&](const PolicyMatch& match) {
    count += (match.*of).any.size() + (match.*of).none.size();
  });
  return count;
}

// Every match's part, each as a policy of its own, which says how it matches.
std::vector<Policy> PartsOf(const Policy& policy, PolicyMatch (*part)(const PolicyMatch&)) {
  std::vector<Policy> parts;
  ForEachMatch(policy, [&](const PolicyMatch& match) {
    Policy one;
    one.action = policy.action;
    one.rules = {PolicyRule{{PolicyClause{{part(match)}}}}};
    parts.push_back(std::move(one));
  });
  return parts;
}

Signature SignatureOf(const std::vector<Policy>& parts, const ConnectionFacts& facts) {
  Signature signature;
  signature.reserve(parts.size());
  for (const Policy& part : parts) signature.push_back(part.Matches(facts));
  return signature;
}

// Peers that a policy speaks of, and the like of them.
class Peers {
 public:
  explicit Peers(const ProbeGround& ground) : trust_domains_(ground.trust_domains) {
    // Then whoever comes is a stranger.
    if (trust_domains_.empty()) trust_domains_.insert(kForeign);
    size_t taken = 0;
    for (const std::string& principal : ground.principals) {
      if (++taken > kMaxPrincipals) break;
      Add(principal);
    }
    AddAccount(kStranger, kStranger);
  }

  void AddNamed(const PolicyMatch& match) {
    for (const auto* list : {&match.principals.any, &match.principals.none}) {
      for (const StringMatcher& one : *list) AddPrincipal(one);
    }
    for (const auto* list : {&match.namespaces.any, &match.namespaces.none}) {
      for (const StringMatcher& one : *list) {
        AddAccount(one.text, kStranger);
        if (one.kind == StringMatcher::Kind::kPrefix) AddAccount(one.text + "x", kStranger);
        if (one.kind == StringMatcher::Kind::kSuffix) AddAccount("x" + one.text, kStranger);
      }
    }
    for (const auto* list : {&match.service_accounts.any, &match.service_accounts.none}) {
      for (const ServiceAccountMatcher& one : *list) {
        AddAccount(one.ns, one.name);
        AddAccount(one.ns, kStranger);
      }
    }
  }

  const std::vector<SpiffeId>& ids() const { return ids_; }

 private:
  // What is no identity is nobody's.
  void Add(const std::string& principal) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::StrCat("spiffe://", principal));
    if (id.ok()) ids_.push_back(*std::move(id));
  }
  void AddAccount(const std::string& ns, const std::string& account) {
    for (const std::string& trust_domain : trust_domains_) {
      Add(absl::StrCat(trust_domain, "/ns/", ns, "/sa/", account));
    }
  }
  void AddPrincipal(const StringMatcher& one) {
    if (one.kind == StringMatcher::Kind::kExact) {
      Add(one.text);
    } else if (one.kind == StringMatcher::Kind::kPrefix) {
      for (const char* rest : {"", "x", "/sa/x", "sa/x", "a/x", "/x", "/ns/x/sa/x", "ns/x/sa/x",
                               "s/x/sa/x", "x/sa/x", "x/ns/x/sa/x"}) {
        Add(absl::StrCat(one.text, rest));
      }
    } else if (one.kind == StringMatcher::Kind::kSuffix) {
      for (const std::string& trust_domain : trust_domains_) {
        for (const char* before :
             {"/ns/x/sa/x", "/ns/x/sa/", "/ns/x/s", "/ns/x/", "/ns/x", "/ns/", "/n", "/", ""}) {
          Add(absl::StrCat(trust_domain, before, one.text));
        }
      }
    }
  }

  std::set<std::string> trust_domains_;
  std::vector<SpiffeId> ids_;
};

// The bytes of the next address, or of the one before; wraps around.
std::string Step(std::string bytes, int step) {
  for (size_t i = bytes.size(); i-- > 0;) {
    const int value = static_cast<unsigned char>(bytes[i]) + step;
    bytes[i] = static_cast<char>(value & 0xff);
    if (value >= 0 && value <= 0xff) break;
  }
  return bytes;
}

// Where no block is named.
constexpr size_t kUnnamedEnds = 2;

// The ends of each block, and what is beside them: between two ends nothing changes.
AddressSet EndsOf(const Policy& policy, MatchList<CidrBlock> PolicyMatch::*const of) {
  AddressSet ends;
  for (const size_t size : {4, 16}) ends.Add(std::string(size, '\0'));
  ForEachMatch(policy, [&](const PolicyMatch& match) {
    for (const auto* list : {&(match.*of).any, &(match.*of).none}) {
      for (const CidrBlock& block : *list) {
        std::string first = block.base.ToBytes(), last = first;
        for (size_t bit = static_cast<size_t>(block.length); bit < first.size() * 8; ++bit) {
          const int mask = 0x80 >> (bit % 8);
          first[bit / 8] = static_cast<char>(first[bit / 8] & ~mask);
          last[bit / 8] = static_cast<char>(last[bit / 8] | mask);
        }
        for (const std::string& one : {Step(first, -1), first, last, Step(last, 1)}) ends.Add(one);
      }
    }
  });
  ends.Sort();
  return ends;
}

// The sizes of addresses that can be sources of connections to `targets`: both ends are of one
// family. Both sizes where no target is known.
std::set<size_t> FamiliesOf(const AddressSet& targets) {
  std::set<size_t> families;
  if (targets.empty() || targets.has_v4()) families.insert(4);
  if (targets.empty() || targets.has_v6()) families.insert(16);
  return families;
}

// `set` puts an address where the facts have it.
template <typename Set>
Signatures AddressSignatures(const std::vector<Policy>& parts, const AddressSet& addresses,
                             const std::set<size_t>& families, const Set& set) {
  Signatures signatures;
  addresses.ForEach([&](const std::string& one) {
    if (families.count(one.size()) == 0) return;
    const absl::StatusOr<IpAddress> address = IpAddress::FromBytes(one);
    if (!address.ok()) return;
    ConnectionFacts facts;
    set(*address, &facts);
    signatures.insert(SignatureOf(parts, facts));
  });
  return signatures;
}

Signatures PortSignatures(const Policy& policy) {
  std::set<uint16_t> ports;
  ForEachMatch(policy, [&ports](const PolicyMatch& match) {
    ports.insert(match.destination_ports.any.begin(), match.destination_ports.any.end());
    ports.insert(match.destination_ports.none.begin(), match.destination_ports.none.end());
  });
  // One that nobody names, where there is one.
  for (uint32_t port = 1; port <= 0xffff; ++port) {
    if (ports.insert(static_cast<uint16_t>(port)).second) break;
  }
  const std::vector<Policy> parts = PartsOf(policy, &OfPort);
  Signatures signatures;
  for (const uint16_t port : ports) {
    ConnectionFacts facts;
    facts.destination = SocketAddress(IpAddress(), port);
    signatures.insert(SignatureOf(parts, facts));
  }
  return signatures;
}

// Whether a rule matches what these kinds of facts are together.
bool Holds(const Policy& policy, const Signature& peer, const Signature& source,
           const Signature& destination, const Signature& port) {
  size_t next = 0;
  for (const PolicyRule& rule : policy.rules) {
    bool rule_holds = !rule.clauses.empty();
    for (const PolicyClause& clause : rule.clauses) {
      bool clause_holds = clause.matches.empty();
      for (size_t i = 0; i < clause.matches.size(); ++i, ++next) {
        clause_holds |= peer[next] && source[next] && destination[next] && port[next];
      }
      rule_holds &= clause_holds;
    }
    if (rule_holds) return true;
  }
  return false;
}

}  // namespace

ProbedReach ProbeReach(const Authorization& authorization, const ProbeGround& ground) {
  const absl::StatusOr<Policy> policy = ConvertPolicy(authorization);
  if (!policy.ok()) return {};
  ProbedReach too_large;
  too_large.too_large = true;
  // Nothing of these is copied: each of many who ask at once would have one in its thread's heap.
  const AddressSet none;
  const AddressSet& all_sources = ground.sources == nullptr ? none : *ground.sources;
  const AddressSet& concerned = ground.addresses == nullptr ? none : *ground.addresses;
  Peers known(ground);
  ForEachMatch(*policy, [&known](const PolicyMatch& match) { known.AddNamed(match); });
  const std::vector<Policy> of_peer = PartsOf(*policy, &OfPeer);
  if (of_peer.size() * known.ids().size() > kMaxTried ||
      ListedPeers(*policy) * known.ids().size() > kMaxCompared) {
    return too_large;
  }
  Signatures peers, others;
  ConnectionFacts facts;
  others.insert(SignatureOf(of_peer, facts));
  facts.peer = *SpiffeId::Parse(absl::StrCat("spiffe://", kForeign, "/ns/x/sa/x"));
  others.insert(SignatureOf(of_peer, facts));
  for (const SpiffeId& id : known.ids()) {
    facts.peer = id;
    peers.insert(SignatureOf(of_peer, facts));
  }

  const std::vector<Policy> of_source = PartsOf(*policy, &OfSource);
  const std::set<size_t> families = FamiliesOf(concerned);
  const auto from = [&](const AddressSet& addresses) {
    return AddressSignatures(
        of_source, addresses, families,
        [](const IpAddress& address, ConnectionFacts* set) { set->source = address; });
  };
  const size_t source_blocks = ListedBlocks(*policy, &PolicyMatch::source_ips);
  const AddressSet source_ends = EndsOf(*policy, &PolicyMatch::source_ips);
  if (source_blocks * source_ends.size() > kMaxCompared) return too_large;
  const Signatures sources = from(source_ends);
  const AddressSet ends = EndsOf(*policy, &PolicyMatch::destination_ips);
  const bool of_registry = ends.size() > kUnnamedEnds && !concerned.empty();
  const AddressSet& destinations = of_registry ? concerned : ends;
  if (of_peer.size() * destinations.size() > kMaxTried ||
      ListedBlocks(*policy, &PolicyMatch::destination_ips) * destinations.size() > kMaxCompared) {
    return too_large;
  }
  const Signatures targets =
      AddressSignatures(PartsOf(*policy, &OfDestination), destinations, FamiliesOf(none),
                        [](const IpAddress& address, ConnectionFacts* set) {
                          set->destination = SocketAddress(address, 1);
                        });
  const Signatures ports = PortSignatures(*policy);
  if ((peers.size() + others.size()) * sources.size() * targets.size() * ports.size() >
      kMaxCombinations) {
    return too_large;
  }
  const auto holds_for = [&](const Signatures& whom, const Signatures& where) {
    for (const Signature& peer : whom) {
      for (const Signature& source : where) {
        for (const Signature& target : targets) {
          for (const Signature& port : ports) {
            if (!Holds(*policy, peer, source, target, port)) return false;
          }
        }
      }
    }
    return true;
  };
  ProbedReach reach;
  reach.every_identity = holds_for(peers, sources);
  reach.everything = reach.every_identity && holds_for(others, sources);
  if (ground.principals.empty() || ground.principals.size() > kMaxPrincipals ||
      of_source.size() * all_sources.size() > kMaxTried ||
      source_blocks * all_sources.size() > kMaxCompared) {
    return reach;
  }
  Signatures known_peers;
  for (const std::string& principal : ground.principals) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::StrCat("spiffe://", principal));
    if (!id.ok()) continue;
    facts.peer = *id;
    known_peers.insert(SignatureOf(of_peer, facts));
  }
  const Signatures known_sources = from(all_sources);
  reach.everybody_known =
      !known_peers.empty() && !known_sources.empty() && holds_for(known_peers, known_sources);
  return reach;
}

}  // namespace byrnie
