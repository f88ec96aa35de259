#include "controlplane/operator/method_table.h"

namespace byrnie {
namespace {

// One a line.
// clang-format off
constexpr MethodRule kMethods[] = {
    {"GetStatus", Role::kViewer, false},
    {"ListWorkloads", Role::kViewer, false},
    {"GetWorkload", Role::kViewer, false},
    {"ListServices", Role::kViewer, false},
    {"ListAgents", Role::kViewer, false},
    {"ListPolicies", Role::kViewer, false},
    {"GetPolicy", Role::kViewer, false},
    {"ValidatePolicy", Role::kViewer, false},
    {"WatchEvents", Role::kViewer, false},
    {"Explain", Role::kViewer, false},
    {"GetService", Role::kViewer, false},
    {"ApplyRegistry", Role::kOperator, true},
    {"DeleteWorkload", Role::kOperator, true},
    {"DeleteService", Role::kOperator, true},
    {"ApplyPolicy", Role::kOperator, true},
    {"DeletePolicy", Role::kOperator, true},
    {"CreateJoinToken", Role::kOperator, true},
    {"ListJoinTokens", Role::kOperator, false},
    {"RevokeJoinToken", Role::kOperator, true},
    {"CreateOperatorToken", Role::kAdmin, true},
    {"ListOperatorTokens", Role::kAdmin, false},
    {"RevokeOperatorToken", Role::kAdmin, true},
    {"GetTrust", Role::kViewer, false},
    {"ListIssuances", Role::kViewer, false},
    {"ListRevocations", Role::kViewer, false},
    {"RotateTrust", Role::kAdmin, true},
    {"RollbackTrust", Role::kAdmin, true},
    {"RevokeCertificate", Role::kAdmin, true},
    {"ListFlows", Role::kViewer, false},
    {"DiffPolicies", Role::kViewer, false},
    {"SuggestPolicies", Role::kViewer, false},
};
// clang-format on

}  // namespace

absl::Span<const MethodRule> MethodTable() { return kMethods; }

const MethodRule* FindMethodRule(absl::string_view method) {
  for (const MethodRule& rule : kMethods) {
    if (rule.method == method) return &rule;
  }
  return nullptr;
}

}  // namespace byrnie
