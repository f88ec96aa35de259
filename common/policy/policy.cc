#include "common/policy/policy.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {
namespace {

// Whether one kind holds for an attribute that is there.
template <typename T, typename Matches>
bool Holds(const MatchList<T>& list, const Matches& matches) {
  if (!list.any.empty() && !std::any_of(list.any.begin(), list.any.end(), matches)) return false;
  return std::none_of(list.none.begin(), list.none.end(), matches);
}

// Whether one kind holds when the peer does not have the attribute: see PolicyMatch.
template <typename T>
bool HoldsWhenAbsent(const MatchList<T>& list, Policy::Action action) {
  if (!list.any.empty()) return false;
  return list.none.empty() || action == Policy::Action::kDeny;
}

bool StringKindHolds(const MatchList<StringMatcher>& list, absl::string_view value,
                     Policy::Action action) {
  if (value.empty()) return HoldsWhenAbsent(list, action);
  return Holds(list, [value](const StringMatcher& matcher) { return matcher.Matches(value); });
}

// The attributes of the peer that policies speak of, taken apart once per policy. Empty: absent.
struct PeerAttributes {
  absl::string_view principal;
  absl::string_view ns;
  absl::string_view service_account;
};

PeerAttributes AttributesOf(const absl::optional<SpiffeId>& peer) {
  PeerAttributes attributes;
  if (!peer.has_value()) return attributes;
  attributes.principal = absl::StripPrefix(peer->text(), "spiffe://");
  attributes.ns = peer->k8s_namespace();
  attributes.service_account = peer->k8s_service_account();
  return attributes;
}

bool MatchHolds(const PolicyMatch& match, const PeerAttributes& peer, const ConnectionFacts& facts,
                Policy::Action action) {
  if (!StringKindHolds(match.principals, peer.principal, action)) return false;
  if (!StringKindHolds(match.namespaces, peer.ns, action)) return false;
  const bool has_account = !peer.ns.empty() && !peer.service_account.empty();
  if (!has_account) {
    if (!HoldsWhenAbsent(match.service_accounts, action)) return false;
  } else if (!Holds(match.service_accounts, [&peer](const ServiceAccountMatcher& account) {
               return account.ns == peer.ns && account.name == peer.service_account;
             })) {
    return false;
  }
  const auto contains_source = [&facts](const CidrBlock& block) {
    return block.Contains(facts.source);
  };
  if (!Holds(match.source_ips, contains_source)) return false;
  const auto contains_destination = [&facts](const CidrBlock& block) {
    return block.Contains(facts.destination.ip());
  };
  if (!Holds(match.destination_ips, contains_destination)) return false;
  return Holds(match.destination_ports,
               [&facts](uint16_t port) { return port == facts.destination.port(); });
}

bool RuleHolds(const PolicyRule& rule, const PeerAttributes& peer, const ConnectionFacts& facts,
               Policy::Action action) {
  const auto clause_holds = [&](const PolicyClause& clause) {
    return clause.matches.empty() ||
           std::any_of(clause.matches.begin(), clause.matches.end(), [&](const PolicyMatch& match) {
             return MatchHolds(match, peer, facts, action);
           });
  };
  return !rule.clauses.empty() &&
         std::all_of(rule.clauses.begin(), rule.clauses.end(), clause_holds);
}

// Whether one of the principals that match says of which trust domain the peer is to be.
bool NamesTrustDomain(const PolicyMatch& match, absl::string_view principal) {
  return std::any_of(match.principals.any.begin(), match.principals.any.end(),
                     [principal](const StringMatcher& matcher) {
                       const bool names_it = matcher.kind == StringMatcher::Kind::kExact ||
                                             (matcher.kind == StringMatcher::Kind::kPrefix &&
                                              absl::StrContains(matcher.text, '/'));
                       return names_it && !principal.empty() && matcher.Matches(principal);
                     });
}

}  // namespace

bool StringMatcher::Matches(absl::string_view value) const {
  switch (kind) {
    case Kind::kExact:
      return value == text;
    case Kind::kPrefix:
      return absl::StartsWith(value, text);
    case Kind::kSuffix:
      return absl::EndsWith(value, text);
    case Kind::kPresence:
      return !value.empty();
  }
  return false;
}

bool CidrBlock::Contains(const IpAddress& address) const {
  if (address.is_v4() != base.is_v4()) return false;
  const std::string a = address.ToBytes();
  const std::string b = base.ToBytes();
  const size_t whole_bytes = static_cast<size_t>(length) / 8;
  if (a.compare(0, whole_bytes, b, 0, whole_bytes) != 0) return false;
  const int rest = length % 8;
  if (rest == 0) return true;
  const unsigned difference =
      static_cast<unsigned char>(a[whole_bytes]) ^ static_cast<unsigned char>(b[whole_bytes]);
  return (difference >> (8 - rest)) == 0;
}

std::string Policy::Key() const { return absl::StrCat(ns, "/", name); }

absl::optional<size_t> Policy::MatchingRule(const ConnectionFacts& facts) const {
  const PeerAttributes peer = AttributesOf(facts.peer);
  for (size_t i = 0; i < rules.size(); ++i) {
    if (RuleHolds(rules[i], peer, facts, action)) return i;
  }
  return absl::nullopt;
}

bool Policy::MatchesByTrustDomain(const ConnectionFacts& facts) const {
  const PeerAttributes peer = AttributesOf(facts.peer);
  const auto clause_names_it = [&](const PolicyClause& clause) {
    return std::any_of(clause.matches.begin(), clause.matches.end(), [&](const PolicyMatch& match) {
      return NamesTrustDomain(match, peer.principal) && MatchHolds(match, peer, facts, action);
    });
  };
  return std::any_of(rules.begin(), rules.end(), [&](const PolicyRule& rule) {
    return RuleHolds(rule, peer, facts, action) &&
           std::any_of(rule.clauses.begin(), rule.clauses.end(), clause_names_it);
  });
}

}  // namespace byrnie
