#include "controlplane/policy/policy_findings.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "controlplane/registry/content_checker.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::security::Clause;
using istio::security::Match;
using istio::security::Rule;
using istio::security::StringMatch;
using Severity = PolicyFinding::Severity;

// What part of the connections something matches, as far as its form alone says.
enum class Reach { kNothing, kSomething, kEverything };

// What the registry knows that policies speak of.
struct Known {
  std::set<std::string> namespaces, principals;
  size_t workloads_concerned = 0;
};

Known Look(const Authorization& policy, const RegistrySnapshot& registry) {
  Known known;
  for (const auto& entry : registry.resources(ResourceType::kAddress)) {
    istio::workload::Address address;
    if (!address.ParseFromString(entry.second.payload) || !address.has_workload()) continue;
    const auto& workload = address.workload();
    known.namespaces.insert(workload.namespace_());
    known.principals.insert(absl::StrCat(workload.trust_domain(), "/ns/", workload.namespace_(),
                                         "/sa/", workload.service_account()));
    bool concerned = policy.scope() == istio::security::GLOBAL;
    if (policy.scope() == istio::security::NAMESPACE) {
      concerned = workload.namespace_() == policy.namespace_();
    } else if (policy.scope() == istio::security::WORKLOAD_SELECTOR) {
      const auto& selected = workload.authorization_policies();
      concerned = std::find(selected.begin(), selected.end(), PolicyKey(policy)) != selected.end();
    }
    if (concerned) ++known.workloads_concerned;
  }
  return known;
}

std::string TextOf(const StringMatch& match) { return match.SerializeAsString(); }
std::string TextOf(const istio::security::Address& block) { return block.SerializeAsString(); }
std::string TextOf(uint32_t port) { return absl::StrCat(port); }
std::string TextOf(const istio::security::ServiceAccountMatch& account) {
  return account.SerializeAsString();
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

class Reviewer {
 public:
  Reviewer(const Authorization& policy, const Known& known) : policy_(policy), known_(known) {}

  std::vector<PolicyFinding> Run() {
    Reach reach = Reach::kNothing;
    for (int i = 0; i < policy_.rules_size(); ++i) {
      reach = std::max(reach, LookAt(policy_.rules(i), absl::StrCat("rules[", i, "]")));
    }
    SayWhatItMeans(reach);
    if (known_.workloads_concerned == 0) {
      Add(Severity::kWarning, "",
          policy_.scope() == istio::security::WORKLOAD_SELECTOR
              ? absl::StrCat("no workload lists \"", PolicyKey(policy_),
                             "\" in its authorization_policies, so it is about nobody")
              : absl::StrCat("it is about no workload: the registry has none",
                             policy_.scope() == istio::security::NAMESPACE
                                 ? absl::StrCat(" in namespace ", policy_.namespace_())
                                 : ""));
    }
    return std::move(findings_);
  }

 private:
  void Add(Severity severity, std::string field, std::string message) {
    findings_.push_back({severity, std::move(field), std::move(message)});
  }

  // For the whole, which the parts' findings explain.
  void SayWhatItMeans(Reach reach) {
    const bool allow = policy_.action() == istio::security::ALLOW;
    if (reach == Reach::kNothing) {
      Add(Severity::kWarning, "",
          allow ? "it matches nothing, and as an ALLOW policy lets nobody in whom no other policy "
                  "allows; if that is meant, accept it"
                : "it matches nothing, so it keeps nobody out; give it a rule with a clause");
    } else if (reach == Reach::kEverything) {
      Add(Severity::kWarning, "",
          allow
              ? "it matches everything: everybody is let in, plaintext included where a proxy "
                "takes it; name who may"
              : "it matches everything: every connection to the workloads it is about is refused");
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
    return least;
  }

  Reach LookAt(const Clause& clause, const std::string& place) {
    if (clause.matches().empty()) return Reach::kEverything;
    Reach most = Reach::kNothing;
    for (int i = 0; i < clause.matches_size(); ++i) {
      most = std::max(most, LookAt(clause.matches(i), absl::StrCat(place, ".matches[", i, "]")));
    }
    return most;
  }

  Reach LookAt(const Match& match, const std::string& place) {
    if (match.ByteSizeLong() == 0) return Reach::kEverything;
    if (Contradicts(match.namespaces(), match.not_namespaces()) ||
        Contradicts(match.principals(), match.not_principals()) ||
        Contradicts(match.source_ips(), match.not_source_ips()) ||
        Contradicts(match.destination_ips(), match.not_destination_ips()) ||
        Contradicts(match.destination_ports(), match.not_destination_ports()) ||
        Contradicts(match.service_accounts(), match.not_service_accounts())) {
      Add(Severity::kWarning, place, "it excludes all that it asks for, so it never matches");
      return Reach::kNothing;
    }
    for (const StringMatch& principal : match.principals()) {
      if (!principal.exact().empty() && known_.principals.count(principal.exact()) == 0) {
        Add(Severity::kNote, place,
            absl::StrCat("no workload of the registry is ", principal.exact()));
      }
    }
    for (const StringMatch& ns : match.namespaces()) {
      if (!ns.exact().empty() && known_.namespaces.count(ns.exact()) == 0) {
        Add(Severity::kNote, place,
            absl::StrCat("no workload of the registry is in namespace ", ns.exact()));
      }
    }
    return Reach::kSomething;
  }

  const Authorization& policy_;
  const Known& known_;
  std::vector<PolicyFinding> findings_;
};

}  // namespace

bool PolicyReview::has_warning() const {
  return std::any_of(findings.begin(), findings.end(), [](const PolicyFinding& finding) {
    return finding.severity == Severity::kWarning;
  });
}

PolicyReview ReviewPolicy(const Authorization& policy, const RegistrySnapshot& registry) {
  const Known known = Look(policy, registry);
  return PolicyReview{Reviewer(policy, known).Run(), known.workloads_concerned};
}

}  // namespace byrnie
