#include "controlplane/explain/policy_step.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/policy/authorizer.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {
namespace {

using Outcome = ExplainStep::Outcome;

// " by rules[2]"; empty when the policy does not match.
std::string RuleOf(const PolicySet& policies, absl::string_view key, const ConnectionFacts& facts) {
  const size_t position = policies.Find(key);
  if (position == PolicySet::npos) return "";
  const absl::optional<size_t> rule = policies.policies()[position].MatchingRule(facts);
  return rule.has_value() ? absl::StrCat(" by rules[", *rule, "]") : "";
}

// The ALLOW policies that concern a workload.
std::string AllowPolicies(const PolicySet& policies, const WorkloadSelector& workload) {
  std::vector<std::string> names;
  for (const Policy& policy : policies.policies()) {
    const bool concerned =
        policy.scope == Policy::Scope::kGlobal ||
        (policy.scope == Policy::Scope::kNamespace && policy.ns == workload.ns) ||
        absl::c_linear_search(workload.policies, policy.Key());
    if (concerned && !policy.dry_run && policy.action == Policy::Action::kAllow) {
      names.push_back(policy.Key());
    }
  }
  return absl::StrJoin(names, ", ");
}

std::string DryRunText(const Decision& decision) {
  std::string text;
  for (const DryRunResult& result : decision.dry_run) {
    if (result.effect != DryRunResult::Effect::kWouldDeny) continue;
    absl::StrAppend(&text, "; dry-run policy ", result.policy, " would deny it");
  }
  return text;
}

}  // namespace

std::shared_ptr<const PolicySet> PoliciesOf(const RegistrySnapshot& registry) {
  google::protobuf::RepeatedPtrField<istio::security::Authorization> policies;
  for (const auto& entry : registry.resources(ResourceType::kAuthorization)) {
    policies.Add()->ParseFromString(entry.second.payload);
  }
  absl::StatusOr<std::shared_ptr<const PolicySet>> set = PolicySet::Create(1, policies);
  return set.ok() ? *set : nullptr;
}

ExplainStep PolicyStep(const PolicySet* policies, const Party& source, const Party& destination,
                       const SocketAddress& target) {
  ExplainStep step{explain_step::kPolicy, Outcome::kFailed, "", ""};
  if (policies == nullptr) {
    step.reason =
        "proxies do not understand the policies, so that none is in force and all is denied";
    step.remedy = "see the control plane's log for what its agents rejected";
    return step;
  }
  WorkloadSelector workload;
  workload.trust_domain = std::string(destination.proven->trust_domain());
  workload.ns = destination.workload->namespace_();
  for (const std::string& key : destination.workload->authorization_policies()) {
    workload.policies.push_back(key);
  }
  ConnectionFacts facts;
  facts.peer = source.proven;
  if (!source.addresses.empty()) facts.source = source.addresses.front();
  facts.destination = target;
  facts.plaintext_admitted = !source.in_mesh();

  const Decision decision = Authorize(policies, workload, facts);
  absl::string_view reason = decision.reason;
  if (decision.allowed) {
    step.outcome = Outcome::kOk;
    if (absl::ConsumePrefix(&reason, absl::StrCat(decision_reason::kAllowedBy, " "))) {
      step.reason = absl::StrCat("policy ", reason, " allows it", RuleOf(*policies, reason, facts));
    } else {
      step.reason = source.in_mesh()
                        ? "no policy is about it, and both are of one trust domain"
                        : "no policy is about it; whether plaintext is taken is the proxy's mode";
    }
  } else if (absl::ConsumePrefix(&reason, absl::StrCat(decision_reason::kPolicyDeny, " "))) {
    step.reason = absl::StrCat("policy ", reason, " denies it", RuleOf(*policies, reason, facts));
    step.remedy = absl::StrCat("byrniectl policy get ", reason);
  } else if (absl::ConsumePrefix(&reason, absl::StrCat(decision_reason::kPolicyMissing, " "))) {
    step.reason = absl::StrCat("policy ", reason, ", which the workload lists, is not there");
    step.remedy = "apply it, or take it out of the workload's authorization_policies";
  } else if (reason == decision_reason::kNoAllowMatch) {
    step.reason =
        absl::StrCat("ALLOW policies are about ", destination.name, " (",
                     AllowPolicies(*policies, workload), "), and none allows ",
                     source.in_mesh() ? source.proven->text() : "a client without identity",
                     " at port ", target.port());
    step.remedy = "apply a policy that allows it";
  } else if (reason == decision_reason::kForeignTrustDomain) {
    step.reason = absl::StrCat(source.proven->text(),
                               " is of another trust domain, and no policy "
                               "names it");
    step.remedy = "apply an ALLOW policy with a principal that names that trust domain";
  } else {
    step.reason = absl::StrCat("it is denied: ", reason);
  }
  absl::StrAppend(&step.reason, DryRunText(decision));
  return step;
}

}  // namespace byrnie
