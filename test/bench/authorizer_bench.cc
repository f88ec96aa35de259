// What one decision costs among 10 000 policies.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "common/base/check.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "common/policy/authorizer.h"
#include "common/policy/policy.h"

namespace byrnie {
namespace {

constexpr int kNamespaces = 1000;
constexpr int kPoliciesOfEach = 10;

// Allows one account of a namespace, on one port.
Policy AllowOne(int ns, int number) {
  PolicyMatch match;
  match.principals.any.push_back(
      {StringMatcher::Kind::kExact,
       absl::StrCat("cluster.local/ns/ns-", ns, "/sa/account-", number)});
  match.destination_ports.any.push_back(static_cast<uint16_t>(8080 + number));
  Policy policy;
  policy.name = absl::StrCat("allow-", number);
  policy.ns = absl::StrCat("ns-", ns);
  policy.action = Policy::Action::kAllow;
  policy.rules.push_back({{{{match}}}});
  return policy;
}

std::shared_ptr<const PolicySet> World() {
  std::vector<Policy> policies;
  for (int ns = 0; ns < kNamespaces; ++ns) {
    for (int number = 0; number < kPoliciesOfEach; ++number) {
      policies.push_back(AllowOne(ns, number));
    }
  }
  absl::StatusOr<std::shared_ptr<const PolicySet>> made = PolicySet::Create(1, std::move(policies));
  CHECK(made.ok());
  return *std::move(made);
}

// The last of the namespace's policies allows.
void BM_Authorize(benchmark::State& state) {
  const std::shared_ptr<const PolicySet> policies = World();
  WorkloadSelector workload;
  workload.trust_domain = "cluster.local";
  workload.ns = "ns-500";
  ConnectionFacts facts;
  facts.peer = *SpiffeId::Parse("spiffe://cluster.local/ns/ns-500/sa/account-9");
  facts.destination = *SocketAddress::Parse("10.0.0.1:8089");
  CHECK(Authorize(policies.get(), workload, facts).allowed);
  for (auto _ : state) benchmark::DoNotOptimize(Authorize(policies.get(), workload, facts));
}
BENCHMARK(BM_Authorize);

}  // namespace
}  // namespace byrnie

BENCHMARK_MAIN();
