#include "common/policy/authorizer.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/policy/policy_conversion.h"
#include "google/protobuf/repeated_field.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {
namespace {

Decision Deny(std::string reason) {
  Decision decision;
  decision.reason = std::move(reason);
  return decision;
}

DryRunResult::Effect DryRunEffect(Policy::Action action, bool matches) {
  if (action == Policy::Action::kDeny) {
    return matches ? DryRunResult::Effect::kWouldDeny : DryRunResult::Effect::kWouldNotDeny;
  }
  return matches ? DryRunResult::Effect::kWouldAllow : DryRunResult::Effect::kWouldDeny;
}

// What to do with a peer no ALLOW policy speaks of.
void DecideByDefault(const WorkloadSelector& workload, const ConnectionFacts& facts,
                     Decision* decision) {
  if (!facts.peer.has_value()) {
    decision->allowed = facts.plaintext_admitted;
    decision->reason =
        std::string(facts.plaintext_admitted ? decision_reason::kDefaultAllowPlaintext
                                             : decision_reason::kPlaintextRefused);
    return;
  }
  decision->allowed =
      !workload.trust_domain.empty() && facts.peer->trust_domain() == workload.trust_domain;
  decision->reason = std::string(decision->allowed ? decision_reason::kDefaultAllowSameTrustDomain
                                                   : decision_reason::kForeignTrustDomain);
}

// The policies that concern the workload as growing positions in the set. False: one that selects
// it is not there, and its key is in `missing`.
bool Concerning(const PolicySet& policies, const WorkloadSelector& workload,
                std::vector<size_t>* positions, std::string* missing) {
  *positions = policies.global();
  if (const std::vector<size_t>* own = policies.OfNamespace(workload.ns)) {
    positions->insert(positions->end(), own->begin(), own->end());
  }
  for (const std::string& key : workload.policies) {
    const size_t position = policies.Find(key);
    if (position == PolicySet::npos) {
      *missing = key;
      return false;
    }
    positions->push_back(position);
  }
  std::sort(positions->begin(), positions->end());
  positions->erase(std::unique(positions->begin(), positions->end()), positions->end());
  return true;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PolicySet>> PolicySet::Create(
    uint64_t epoch,
    const google::protobuf::RepeatedPtrField<istio::security::Authorization>& policies) {
  std::vector<Policy> converted;
  converted.reserve(policies.size());
  for (const istio::security::Authorization& policy : policies) {
    ASSIGN_OR_RETURN(Policy value, ConvertPolicy(policy));
    converted.push_back(std::move(value));
  }
  return Create(epoch, std::move(converted));
}

absl::StatusOr<std::shared_ptr<const PolicySet>> PolicySet::Create(uint64_t epoch,
                                                                   std::vector<Policy> policies) {
  std::sort(policies.begin(), policies.end(), [](const Policy& a, const Policy& b) {
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  });
  for (size_t i = 1; i < policies.size(); ++i) {
    if (policies[i - 1].ns == policies[i].ns && policies[i - 1].name == policies[i].name) {
      return absl::InvalidArgumentError(
          absl::StrCat("policy \"", policies[i].Key(), "\" appears twice"));
    }
  }
  return std::shared_ptr<const PolicySet>(new PolicySet(epoch, std::move(policies)));
}

PolicySet::PolicySet(uint64_t epoch, std::vector<Policy> policies)
    : epoch_(epoch), policies_(std::move(policies)) {
  for (size_t i = 0; i < policies_.size(); ++i) {
    switch (policies_[i].scope) {
      case Policy::Scope::kGlobal:
        global_.push_back(i);
        break;
      case Policy::Scope::kNamespace:
        by_namespace_[policies_[i].ns].push_back(i);
        break;
      case Policy::Scope::kWorkloadSelector:
        break;
    }
    by_key_[policies_[i].Key()] = i;
  }
}

const std::vector<size_t>* PolicySet::OfNamespace(absl::string_view ns) const {
  const auto found = by_namespace_.find(ns);
  return found == by_namespace_.end() ? nullptr : &found->second;
}

size_t PolicySet::Find(absl::string_view key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? npos : found->second;
}

Decision Authorize(const PolicySet* policies, const WorkloadSelector& workload,
                   const ConnectionFacts& facts) {
  if (policies == nullptr) return Deny(std::string(decision_reason::kNoPolicySnapshot));
  if (!facts.peer.has_value() && !facts.plaintext_admitted) {
    return Deny(std::string(decision_reason::kPlaintextRefused));
  }
  std::vector<size_t> positions;
  std::string missing;
  if (!Concerning(*policies, workload, &positions, &missing)) {
    return Deny(absl::StrCat(decision_reason::kPolicyMissing, " ", missing));
  }

  const bool foreign =
      facts.peer.has_value() &&
      (workload.trust_domain.empty() || facts.peer->trust_domain() != workload.trust_domain);
  const auto matches = [&](const Policy& policy) {
    return foreign && policy.action == Policy::Action::kAllow ? policy.MatchesByTrustDomain(facts)
                                                              : policy.Matches(facts);
  };
  Decision decision;
  const Policy* denied_by = nullptr;
  const Policy* allowed_by = nullptr;
  bool must_be_allowed = false;
  for (const size_t position : positions) {
    const Policy& policy = policies->policies()[position];
    if (policy.dry_run) {
      decision.dry_run.push_back({policy.Key(), DryRunEffect(policy.action, matches(policy))});
    } else if (policy.action == Policy::Action::kDeny) {
      if (denied_by == nullptr && matches(policy)) denied_by = &policy;
    } else {
      must_be_allowed = true;
      if (allowed_by == nullptr && matches(policy)) allowed_by = &policy;
    }
  }
  if (denied_by != nullptr) {
    decision.reason = absl::StrCat(decision_reason::kPolicyDeny, " ", denied_by->Key());
  } else if (allowed_by != nullptr) {
    decision.allowed = true;
    decision.reason = absl::StrCat(decision_reason::kAllowedBy, " ", allowed_by->Key());
  } else if (must_be_allowed) {
    decision.reason = std::string(decision_reason::kNoAllowMatch);
  } else {
    DecideByDefault(workload, facts, &decision);
  }
  return decision;
}

}  // namespace byrnie
