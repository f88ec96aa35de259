#include "controlplane/policy/policy_findings.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/policy/address_set.h"
#include "controlplane/policy/known_mesh.h"
#include "controlplane/policy/known_texts.h"
#include "controlplane/policy/match_sets.h"
#include "controlplane/policy/policy_probe.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::security::Clause;
using istio::security::Match;
using istio::security::Rule;
using istio::security::StringMatch;
using Severity = PolicyFinding::Severity;

// What part of the connections something matches, as far as its form alone says.
enum class Reach {
  kNothing,
  kSomething,
  kEveryIdentity,  // Every connection of a peer whose identity is known.
  kEverything,
};

// Findings of one severity about parts of a policy; beyond them only their number is said.
constexpr size_t kMostOfASeverity = 20;

std::string TextOf(uint32_t port) { return absl::StrCat(port); }
std::string TextOf(const istio::security::ServiceAccountMatch& account) {
  return absl::StrCat(account.namespace_(), "/", account.service_account());
}

// Whether everything a kind lets in it keeps out again.
template <typename List>
bool Contradicts(const List& any, const List& none) {
  if (any.empty()) return false;
  std::set<std::string> excluded;
  for (const auto& value : none) excluded.insert(TextOf(value));
  return std::all_of(any.begin(), any.end(),
                     [&excluded](const auto& value) { return excluded.count(TextOf(value)) > 0; });
}
template <typename List>
bool CoversEach(const List& none, const List& any) {
  return !any.empty() && std::all_of(any.begin(), any.end(),
                                     [&none](const auto& value) { return Covers(none, value); });
}

bool AsksForIdentity(const Match& match) {
  return !match.principals().empty() || !match.namespaces().empty() ||
         !match.service_accounts().empty();
}

// Nobody who has an identity is left.
bool ExcludesEveryIdentity(const Match& match) {
  const auto any = [](const StringMatches& matches) {
    return std::any_of(matches.begin(), matches.end(), IsAnyText);
  };
  return any(match.not_principals()) || any(match.not_namespaces());
}

// The values that a match has to have one of; absent: it does not say them one by one.
using Values = absl::optional<std::set<std::string>>;

Values PortsOf(const Match& match) {
  if (match.destination_ports().empty()) return absl::nullopt;
  std::set<std::string> ports;
  for (const uint32_t port : match.destination_ports()) ports.insert(TextOf(port));
  return ports;
}

template <typename List>
Values ExactOf(const List& list) {
  std::set<std::string> values;
  for (const StringMatch& match : list) {
    if (match.match_type_case() != StringMatch::kExact) return absl::nullopt;
    values.insert(match.exact());
  }
  if (values.empty()) return absl::nullopt;
  return values;
}
Values PrincipalsOf(const Match& match) { return ExactOf(match.principals()); }
Values NamespacesOf(const Match& match) { return ExactOf(match.namespaces()); }
Values AccountsOf(const Match& match) {
  if (match.service_accounts().empty()) return absl::nullopt;
  std::set<std::string> accounts;
  for (const auto& account : match.service_accounts()) accounts.insert(TextOf(account));
  return accounts;
}

// "demo/client" of "TRUST_DOMAIN/ns/demo/sa/client"; empty: it is of another form.
std::string AccountIn(const std::string& principal) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::StrCat("spiffe://", principal));
  if (!id.ok() || id->k8s_namespace().empty()) return "";
  return absl::StrCat(id->k8s_namespace(), "/", id->k8s_service_account());
}

// Whether no identity can be what its kinds ask for one by one: a principal of one namespace, and
// another namespace.
bool IdentityContradicts(const Match& match) {
  const Values principals = PrincipalsOf(match), namespaces = NamespacesOf(match),
               listed = AccountsOf(match);
  std::set<std::string> accounts = listed.value_or(std::set<std::string>());
  if (principals.has_value()) {
    std::set<std::string> proven;
    for (const std::string& principal : *principals) {
      std::string account = AccountIn(principal);
      if (!listed.has_value() || listed->count(account) > 0) proven.insert(std::move(account));
    }
    accounts = std::move(proven);
  }
  if (!principals.has_value() && !listed.has_value()) return false;
  return std::none_of(accounts.begin(), accounts.end(), [&namespaces](const std::string& account) {
    return !namespaces.has_value() || namespaces->count(account.substr(0, account.find('/'))) > 0;
  });
}

// Of any of its matches.
Values ValuesOf(const Clause& clause, Values (*of)(const Match&)) {
  if (clause.matches().empty()) return absl::nullopt;
  std::set<std::string> all;
  for (const Match& match : clause.matches()) {
    const Values values = of(match);
    if (!values.has_value()) return absl::nullopt;
    all.insert(values->begin(), values->end());
  }
  return all;
}

// Whether every clause asks for some of these values and there is none that all ask for.
bool ClausesContradict(const Rule& rule, Values (*of)(const Match&)) {
  Values common;
  for (const Clause& clause : rule.clauses()) {
    const Values values = ValuesOf(clause, of);
    if (!values.has_value()) continue;
    if (!common.has_value()) {
      common = values;
      continue;
    }
    std::set<std::string> both;
    std::set_intersection(common->begin(), common->end(), values->begin(), values->end(),
                          std::inserter(both, both.end()));
    common = std::move(both);
  }
  return common.has_value() && common->empty();
}

// The blocks of a clause's matches; empty: one of them asks for none.
AddressBlocks BlocksOf(const Clause& clause, const AddressBlocks& (Match::*of)() const) {
  AddressBlocks all;
  for (const Match& match : clause.matches()) {
    if ((match.*of)().empty()) return AddressBlocks();
    all.MergeFrom((match.*of)());
  }
  return all;
}

// Whether two clauses ask for addresses and there is none that both ask for.
bool ClausesContradict(const Rule& rule, const AddressBlocks& (Match::*of)() const) {
  for (int i = 0; i < rule.clauses_size(); ++i) {
    const AddressBlocks one = BlocksOf(rule.clauses(i), of);
    for (int j = i + 1; j < rule.clauses_size(); ++j) {
      const AddressBlocks other = BlocksOf(rule.clauses(j), of);
      const bool meet = std::any_of(one.begin(), one.end(), [&other](const auto& a) {
        return std::any_of(other.begin(), other.end(),
                           [&a](const auto& b) { return Overlap(a, b); });
      });
      if (!one.empty() && !other.empty() && !meet) return true;
    }
  }
  return false;
}

bool IsIpv4(const istio::security::Address& block) { return block.address().size() == 4; }

// Whether some address of the one and some address of the other can be the ends of a connection.
bool ShareFamily(const AddressBlocks& some, const AddressSet& others) {
  return std::any_of(some.begin(), some.end(), [&others](const auto& one) {
    return IsIpv4(one) ? others.has_v4() : others.has_v6();
  });
}

constexpr char kExcludesNobody[] = ", so nobody is excluded by it";

class Reviewer {
 public:
  // `known` may be null: only the form is looked at.
  Reviewer(const Authorization& policy, const KnownMesh* known)
      : policy_(policy),
        known_(known),
        area_(known == nullptr ? nullptr : &known->AreaOf(policy)) {}

  std::vector<PolicyFinding> Run() {
    Reach reach = Reach::kNothing;
    for (int i = 0; i < policy_.rules_size(); ++i) {
      for_strangers_ = false;
      const Reach of_rule = LookAt(policy_.rules(i), absl::StrCat("rules[", i, "]"));
      if (of_rule != Reach::kNothing && !for_strangers_) somebody_ = true;
      reach = std::max(reach, of_rule);
    }
    reach = Probe(reach);
    SayWhatItMeans(reach);
    // The first ALLOW policy closes what it is about to whom it does not name.
    if (policy_.action() == istio::security::ALLOW && reach != Reach::kNothing && !somebody_) {
      Add(Severity::kWarning, "",
          "it lets in nobody whom the registry has: as an ALLOW policy it refuses everybody whom "
          "no "
          "other policy allows. Correct whom it names, or accept it for who is yet to come or is "
          "of another trust domain");
    }
    if (area_ != nullptr && area_->workloads == 0) {
      Add(Severity::kWarning, "",
          policy_.scope() == istio::security::WORKLOAD_SELECTOR
              ? absl::StrCat("no workload lists \"", PolicyKey(policy_),
                             "\" in its authorization_policies, so it is about nobody")
              : absl::StrCat("it is about no workload: the registry has none",
                             policy_.scope() == istio::security::NAMESPACE
                                 ? absl::StrCat(" in namespace ", policy_.namespace_())
                                 : ""));
    }
    LeaveOutMany();
    return std::move(findings_);
  }

 private:
  void Add(Severity severity, std::string field, std::string message) {
    findings_.push_back({severity, std::move(field), std::move(message)});
  }

  // A policy may name thousands whom nobody knows. What is about the whole stays.
  void LeaveOutMany() {
    std::vector<PolicyFinding> kept;
    size_t count[2] = {};
    const auto count_of = [&count](const PolicyFinding& finding) -> size_t& {
      return count[finding.severity == Severity::kWarning ? 1 : 0];
    };
    for (PolicyFinding& finding : findings_) {
      if (!absl::StartsWith(finding.field, "rules") || ++count_of(finding) <= kMostOfASeverity) {
        kept.push_back(std::move(finding));
      }
    }
    findings_ = std::move(kept);
    for (const Severity severity : {Severity::kNote, Severity::kWarning}) {
      const bool warning = severity == Severity::kWarning;
      if (count[warning ? 1 : 0] <= kMostOfASeverity) continue;
      const size_t more = count[warning ? 1 : 0] - kMostOfASeverity;
      Add(severity, "",
          absl::StrCat("and ", more, " more ", warning ? "warning" : "note", more == 1 ? "" : "s",
                       " about parts of it"));
    }
  }

  // What the form does not show: matches that only together leave nobody out.
  Reach Probe(Reach reach) {
    if (reach == Reach::kNothing || reach == Reach::kEverything) return reach;
    ProbeGround ground;
    if (known_ != nullptr) {
      ground = {known_->trust_domains, known_->principals, &known_->whole.addresses,
                &area_->addresses};
    }
    const ProbedReach probed = ProbeReach(policy_, ground);
    if (probed.too_large) {
      Add(Severity::kNote, "",
          "it is too large to be tried on everybody: whether its matches together leave nobody out "
          "was not looked at. Make several policies of it to have that told");
    }
    if (probed.everything) return Reach::kEverything;
    if (reach == Reach::kEveryIdentity) return reach;
    if (!probed.every_identity) {
      if (probed.everybody_known && policy_.action() == istio::security::DENY) {
        Add(Severity::kWarning, "",
            "it matches everybody whom the registry has: every connection from one workload to the "
            "workloads it is about is refused");
      }
      return reach;
    }
    together_ = true;
    return Reach::kEveryIdentity;
  }

  // For the whole, which the parts' findings explain.
  void SayWhatItMeans(Reach reach) {
    const bool allow = policy_.action() == istio::security::ALLOW;
    if (reach == Reach::kNothing) {
      Add(Severity::kWarning, "",
          allow ? "it matches nothing, and as an ALLOW policy lets nobody in whom no other policy "
                  "allows, which may be meant"
                : "it matches nothing, so it keeps nobody out; give it a rule with a clause");
    } else if (reach == Reach::kEverything) {
      Add(Severity::kWarning, "",
          allow
              ? "it matches everything: everybody is let in, plaintext included where a proxy "
                "takes it; name who may"
              : "it matches everything: every connection to the workloads it is about is refused");
    }
    if (reach == Reach::kEveryIdentity) {
      Add(allow && !together_ ? Severity::kNote : Severity::kWarning, "",
          allow && together_
              ? "its matches together leave no identity out: all of the mesh is let in. Name who "
                "may, or say that with {\"principals\":[{\"presence\":true}]}"
          : allow
              ? "it matches every identity: all of the mesh is let in"
              : "it matches every identity: every connection of the mesh to the workloads it is "
                "about is refused");
    }
    if (policy_.dry_run()) {
      Add(Severity::kNote, "dry_run", "it is never enforced, only counted and logged");
    }
  }

  Reach LookAt(const Rule& rule, const std::string& place) {
    if (rule.clauses().empty()) {
      Add(Severity::kWarning, place, "a rule without clauses never matches");
      return Reach::kNothing;
    }
    Reach least = Reach::kEverything;
    for (int i = 0; i < rule.clauses_size(); ++i) {
      least = std::min(least, LookAt(rule.clauses(i), absl::StrCat(place, ".clauses[", i, "]")));
    }
    for (const auto& [what, of] :
         {std::make_pair("destination port", &PortsOf), std::make_pair("principal", &PrincipalsOf),
          std::make_pair("namespace", &NamespacesOf),
          std::make_pair("service account", &AccountsOf)}) {
      if (ClausesContradict(rule, of)) return NeverMatches(place, what);
    }
    if (ClausesContradict(rule, &Match::source_ips)) return NeverMatches(place, "source address");
    if (ClausesContradict(rule, &Match::destination_ips)) {
      return NeverMatches(place, "destination address");
    }
    return least;
  }

  Reach NeverMatches(const std::string& place, absl::string_view what) {
    Add(Severity::kWarning, place,
        absl::StrCat("all clauses of a rule have to match, and no ", what,
                     " is in all of these; the rule never matches. Put what may be either way "
                     "into one clause's matches, or into rules of their own"));
    return Reach::kNothing;
  }

  Reach LookAt(const Clause& clause, const std::string& place) {
    if (clause.matches().empty()) return Reach::kEverything;
    Reach most = Reach::kNothing;
    bool for_strangers = true;
    for (int i = 0; i < clause.matches_size(); ++i) {
      const Match& match = clause.matches(i);
      const Reach of_match = LookAt(match, absl::StrCat(place, ".matches[", i, "]"));
      if (of_match != Reach::kNothing && !AsksForStrangers(match)) for_strangers = false;
      most = std::max(most, of_match);
    }
    if (for_strangers) for_strangers_ = true;
    return most;
  }

  Reach LookAt(const Match& match, const std::string& place) {
    if (match.ByteSizeLong() == 0) return Reach::kEverything;
    if (CoversAll(match.not_source_ips()) || CoversAll(match.not_destination_ips()) ||
        CoversEach(match.not_namespaces(), match.namespaces()) ||
        CoversEach(match.not_principals(), match.principals()) ||
        CoversEach(match.not_source_ips(), match.source_ips()) ||
        CoversEach(match.not_destination_ips(), match.destination_ips()) ||
        (AsksForIdentity(match) && ExcludesEveryIdentity(match)) ||
        Contradicts(match.destination_ports(), match.not_destination_ports()) ||
        Contradicts(match.service_accounts(), match.not_service_accounts())) {
      Add(Severity::kWarning, place, "it excludes all that it asks for, so it never matches");
      return Reach::kNothing;
    }
    if (IdentityContradicts(match)) {
      Add(Severity::kWarning, place,
          "no identity is of one of these namespaces, principals and service accounts at once: all "
          "kinds of a match have to fit, so it never matches. Put what may be either way into "
          "matches of their own");
      return Reach::kNothing;
    }
    if (ExcludesEveryIdentity(match)) {
      Add(Severity::kNote, place, "only plaintext is left: it excludes every identity");
    }
    if (known_ != nullptr) CompareWithRegistry(match, place);
    return ReachOf(match);
  }

  // What nobody is, an exclusion too, is mostly mistyped, or not there yet.
  void CompareWithRegistry(const Match& match, const std::string& place) {
    for (const uint32_t port : match.destination_ports()) ComparePort(port, match, place);
    NoteUnknown(match.principals(), known_->principals, "is", "", place);
    NoteUnknown(match.namespaces(), known_->namespaces, "is in namespace", "", place);
    NoteUnknown(match.not_principals(), known_->principals, "is", kExcludesNobody, place);
    NoteUnknown(match.not_namespaces(), known_->namespaces, "is in namespace", kExcludesNobody,
                place);
    NoteUnknown(match.service_accounts(), "", place);
    NoteUnknown(match.not_service_accounts(), kExcludesNobody, place);
    const AddressSet& addresses = area_->addresses;
    const bool reached =
        std::any_of(match.destination_ips().begin(), match.destination_ips().end(),
                    [&addresses](const auto& block) { return addresses.AnyIn(block); });
    if (!match.destination_ips().empty() && !addresses.empty() && !reached) {
      Add(Severity::kWarning, place,
          "destination_ips are addresses of the workloads that the policy is about, and none of "
          "them has one of these, so it never matches");
    }
    if (!match.source_ips().empty() && !addresses.empty() &&
        !ShareFamily(match.source_ips(), addresses)) {
      Add(Severity::kWarning, place,
          absl::StrCat("source_ips are IPv", IsIpv4(match.source_ips(0)) ? "4" : "6",
                       " addresses, and no workload that the policy is about has one that they "
                       "could come to, so it never matches"));
    }
  }

  // The port of a service is what clients connect to; policies see the one that it leads to.
  void ComparePort(uint32_t port, const Match& match, const std::string& place) {
    const auto service = area_->service_ports.find(port);
    if (service == area_->service_ports.end() || area_->target_ports.count(port) > 0) return;
    const uint32_t target = service->second.port;
    const auto& ports = match.destination_ports();
    // Whoever gives both has seen to it.
    const bool both = std::find(ports.begin(), ports.end(), target) != ports.end();
    Add(both ? Severity::kNote : Severity::kWarning, place,
        absl::StrCat(port, " is the port of service ", service->second.service,
                     ", and policies see the port that it leads to, ", target,
                     "; no service of the workloads that the policy is about leads to ", port,
                     both ? "" : absl::StrCat(". Give ", target, " in destination_ports")));
  }

  static bool IsKnown(const StringMatch& match, const KnownTexts& known) {
    if (IsAnyText(match)) return true;
    switch (match.match_type_case()) {
      case StringMatch::kExact:
        return known.Has(match.exact());
      case StringMatch::kPrefix:
        return known.AnyStartsWith(match.prefix());
      case StringMatch::kSuffix:
        return known.AnyEndsWith(match.suffix());
      default:
        return false;
    }
  }

  template <typename Account>
  bool IsKnown(const Account& account) const {
    return std::any_of(
        known_->trust_domains.begin(), known_->trust_domains.end(),
        [&](const std::string& trust_domain) {
          return known_->principals.Has(absl::StrCat(trust_domain, "/ns/", account.namespace_(),
                                                     "/sa/", account.service_account()));
        });
  }

  // Whether a match asks for an identity, and nobody of the registry has one of those.
  bool AsksForStrangers(const Match& match) const {
    if (known_ == nullptr) return false;
    const auto none = [](const StringMatches& matches, const KnownTexts& known) {
      return !matches.empty() &&
             std::none_of(matches.begin(), matches.end(),
                          [&known](const StringMatch& one) { return IsKnown(one, known); });
    };
    const auto& accounts = match.service_accounts();
    return none(match.principals(), known_->principals) ||
           none(match.namespaces(), known_->namespaces) ||
           (!accounts.empty() &&
            std::none_of(accounts.begin(), accounts.end(),
                         [this](const auto& account) { return IsKnown(account); }));
  }

  void NoteUnknown(const StringMatches& matches, const KnownTexts& known, absl::string_view is,
                   absl::string_view so, const std::string& place) {
    for (const StringMatch& match : matches) {
      if (IsKnown(match, known)) continue;
      const std::string text = !match.exact().empty()    ? match.exact()
                               : !match.prefix().empty() ? absl::StrCat(match.prefix(), "...")
                                                         : absl::StrCat("...", match.suffix());
      Add(Severity::kNote, place, absl::StrCat("no workload of the registry ", is, " ", text, so));
    }
  }

  template <typename Accounts>
  void NoteUnknown(const Accounts& accounts, absl::string_view so, const std::string& place) {
    for (const auto& account : accounts) {
      if (IsKnown(account)) continue;
      Add(Severity::kNote, place,
          absl::StrCat("no workload of the registry has service account ", TextOf(account), so));
    }
  }

  // As far as its narrowest kind, of those it has.
  Reach ReachOf(const Match& match) const {
    if (!match.not_namespaces().empty() || !match.not_principals().empty() ||
        !match.not_source_ips().empty() || !match.not_destination_ips().empty() ||
        !match.destination_ports().empty() || !match.not_destination_ports().empty() ||
        !match.service_accounts().empty() || !match.not_service_accounts().empty()) {
      return Reach::kSomething;
    }
    if (!match.source_ips().empty() && !CoversAll(match.source_ips())) {
      return Reach::kSomething;
    }
    if (!match.destination_ips().empty() && !CoversAll(match.destination_ips())) {
      return Reach::kSomething;
    }
    const auto& principals = match.principals();
    const auto& namespaces = match.namespaces();
    if (principals.empty() && namespaces.empty()) return Reach::kEverything;
    const bool any_principal =
        std::any_of(principals.begin(), principals.end(),
                    [this](const StringMatch& one) { return IsEveryPrincipal(one); });
    const bool any_namespace = std::any_of(namespaces.begin(), namespaces.end(), IsAnyText);
    return (principals.empty() || any_principal) && (namespaces.empty() || any_namespace)
               ? Reach::kEveryIdentity
               : Reach::kSomething;
  }

  // "TRUST_DOMAIN/", and less of it or more, is every identity of that trust domain.
  bool IsEveryPrincipal(const StringMatch& match) const {
    if (IsAnyText(match)) return true;
    // Which trust domains there are the registry says.
    return match.match_type_case() == StringMatch::kPrefix && known_ != nullptr &&
           std::any_of(known_->trust_domains.begin(), known_->trust_domains.end(),
                       [&match](const std::string& trust_domain) {
                         return absl::StartsWith(absl::StrCat(trust_domain, "/ns/"),
                                                 match.prefix());
                       });
  }

  const Authorization& policy_;
  const KnownMesh* const known_;
  // The workloads that it is about; null where known_ is.
  const KnownMesh::Area* const area_;
  std::vector<PolicyFinding> findings_;
  // A clause of the rule at hand asks for nobody whom the registry has.
  bool for_strangers_ = false;
  // Some rule lets in somebody else.
  bool somebody_ = false;
  // That it matches every identity is so of no match alone.
  bool together_ = false;
};

}  // namespace

bool PolicyReview::has_warning() const {
  return std::any_of(findings.begin(), findings.end(), [](const PolicyFinding& finding) {
    return finding.severity == Severity::kWarning;
  });
}

PolicyReview ReviewPolicy(const Authorization& policy, const KnownMesh& known) {
  return PolicyReview{Reviewer(policy, &known).Run(), known.AreaOf(policy).workloads};
}

std::vector<PolicyFinding> ReviewPolicyForm(const Authorization& policy) {
  return Reviewer(policy, /*known=*/nullptr).Run();
}

}  // namespace byrnie
