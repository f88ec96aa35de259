#ifndef BYRNIE_COMMON_POLICY_POLICY_H_
#define BYRNIE_COMMON_POLICY_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "common/policy/connection_facts.h"

namespace byrnie {

// Matches text literally and case-sensitively: '.' and '*' mean themselves (CVE-2026-39350,
// CVE-2020-16844). A value.
struct StringMatcher {
  enum class Kind { kExact, kPrefix, kSuffix, kPresence };
  Kind kind = Kind::kExact;
  std::string text;  // Empty for kPresence.

  // `value` is not empty: an attribute that is absent is no value.
  bool Matches(absl::string_view value) const;
};

// A block of addresses of one family (RFC 4632, RFC 4291 section 2.3). A value.
struct CidrBlock {
  IpAddress base;
  int length = 0;  // Bits, at most 32 or 128. What `base` has beyond them is ignored.

  // An address of the other family is never inside.
  bool Contains(const IpAddress& address) const;
};

// A Kubernetes service account; both parts must be equal.
struct ServiceAccountMatcher {
  std::string ns;
  std::string name;
};

// Values of one kind and their negation. The positive ones match when one value does, the negative
// ones when none does; an empty list says nothing.
template <typename T>
struct MatchList {
  std::vector<T> any;
  std::vector<T> none;
};

// Every kind that says something must match. Nothing set: matches every connection, as in Istio.
//
// The kinds about the peer (principals, namespaces, service_accounts) need a verified identity that
// has the attribute; plaintext has none, and an identity that is not of the form
// /ns/NAMESPACE/sa/ACCOUNT has no namespace and service account. Without it a positive list never
// matches. A negative list fails closed: it does not match in an ALLOW policy ("anybody but X" is
// not an invitation to the unknown), and matches in a DENY policy.
struct PolicyMatch {
  MatchList<StringMatcher> namespaces;
  MatchList<StringMatcher> principals;  // The SPIFFE ID without "spiffe://".
  MatchList<CidrBlock> source_ips;
  MatchList<CidrBlock> destination_ips;
  MatchList<uint16_t> destination_ports;
  MatchList<ServiceAccountMatcher> service_accounts;
};

// One must match. None: always matches.
struct PolicyClause {
  std::vector<PolicyMatch> matches;
};

// All must match. None: never matches.
struct PolicyRule {
  std::vector<PolicyClause> clauses;
};

// One authorization policy. A value; valid when it comes from ConvertPolicy.
struct Policy {
  enum class Scope { kGlobal, kNamespace, kWorkloadSelector };
  enum class Action { kAllow, kDeny };

  std::string name;
  std::string ns;
  Scope scope = Scope::kNamespace;
  Action action = Action::kDeny;
  bool dry_run = false;
  std::vector<PolicyRule> rules;  // One must match. None: never matches.

  // "namespace/name".
  std::string Key() const;
  // Whether a rule matches. Pure.
  bool Matches(const ConnectionFacts& facts) const { return MatchingRule(facts).has_value(); }
  // The position of the first rule that matches. Pure.
  absl::optional<size_t> MatchingRule(const ConnectionFacts& facts) const;
  // As Matches, and by a principal that names the peer's trust domain: an exact one, or a prefix
  // that goes beyond it. Names, namespaces and service accounts of another trust domain are given
  // by whoever runs that, and mean nothing here without it. Pure.
  bool MatchesByTrustDomain(const ConnectionFacts& facts) const;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_POLICY_POLICY_H_
