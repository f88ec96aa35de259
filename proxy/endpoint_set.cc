#include "proxy/endpoint_set.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/random/distributions.h"

namespace byrnie {
namespace {

// Draws that hit nobody usable before the tier is gone through: hardly ever, as hardly ever most of
// a tier's capacity is not usable.
constexpr int kBlindDraws = 4;

// What is not known is the same as nothing, or a strict zone would be kept by all endpoints of a
// mesh that knows no zones.
bool Known(const std::string& a, const std::string& b) { return !a.empty() && a == b; }

bool Same(LoadBalancing::Scope scope, const Placement& a, const Placement& b) {
  switch (scope) {
    case LoadBalancing::Scope::kRegion:
      return Known(a.region, b.region);
    case LoadBalancing::Scope::kZone:
      return Known(a.zone, b.zone);
    case LoadBalancing::Scope::kSubzone:
      return Known(a.subzone, b.subzone);
    case LoadBalancing::Scope::kNode:
      return Known(a.node, b.node);
    case LoadBalancing::Scope::kCluster:
      return a.cluster == b.cluster;
    case LoadBalancing::Scope::kNetwork:
      return a.network == b.network;
  }
  return false;
}

// Scopes kept, counted from the most important one to the first that is not.
size_t RankOf(const Workload& workload, const LoadBalancing& balancing, const Placement* own) {
  if (own == nullptr) return 0;
  size_t rank = 0;
  for (const LoadBalancing::Scope scope : balancing.preference) {
    if (!Same(scope, workload.placement, *own)) break;
    ++rank;
  }
  return rank;
}

}  // namespace

EndpointSet::EndpointSet(std::vector<Endpoint> endpoints, const LoadBalancing& balancing,
                         const Placement* own) {
  const size_t best = balancing.preference.size();
  const size_t worst = balancing.mode == LoadBalancing::Mode::kStrict ? best : 0;
  std::vector<std::vector<Endpoint>> by_rank(best + 1);
  for (Endpoint& endpoint : endpoints) {
    const size_t rank = RankOf(*endpoint.workload, balancing, own);
    if (rank < worst) {
      ++out_of_scope_;
    } else if (!endpoint.workload->healthy && !balancing.allow_unhealthy) {
      ++unhealthy_;
    } else {
      by_rank[rank].push_back(std::move(endpoint));
    }
  }
  uint64_t weight = 0;
  for (size_t rank = best + 1; rank-- > 0;) {
    if (by_rank[rank].empty()) continue;
    const size_t begin = endpoints_.size();
    for (Endpoint& endpoint : by_rank[rank]) {
      weight += endpoint.workload->capacity;
      weight_end_.push_back(weight);
      endpoints_.push_back(std::move(endpoint));
    }
    tiers_.push_back({begin, endpoints_.size()});
  }
  endpoints_.shrink_to_fit();
  weight_end_.shrink_to_fit();
}

const Endpoint* EndpointSet::Draw(absl::BitGenRef random, Usable usable) const {
  for (const Tier& tier : tiers_) {
    const Endpoint* drawn = DrawFrom(tier, random, usable);
    if (drawn != nullptr) return drawn;
  }
  return nullptr;
}

const Endpoint* EndpointSet::DrawFrom(const Tier& tier, absl::BitGenRef random,
                                      Usable usable) const {
  const uint64_t before = tier.begin == 0 ? 0 : weight_end_[tier.begin - 1];
  const auto first = weight_end_.begin() + static_cast<ptrdiff_t>(tier.begin);
  const auto last = weight_end_.begin() + static_cast<ptrdiff_t>(tier.end);
  for (int i = 0; i < kBlindDraws; ++i) {
    const uint64_t ticket = absl::Uniform<uint64_t>(random, before, weight_end_[tier.end - 1]);
    const auto hit = std::upper_bound(first, last, ticket);
    const Endpoint& drawn = endpoints_[static_cast<size_t>(hit - weight_end_.begin())];
    if (usable(drawn)) return &drawn;
  }
  // Exactly, over those that are left.
  uint64_t left = 0;
  for (size_t i = tier.begin; i < tier.end; ++i) {
    if (usable(endpoints_[i])) left += endpoints_[i].workload->capacity;
  }
  if (left == 0) return nullptr;
  uint64_t ticket = absl::Uniform<uint64_t>(random, 0, left);
  for (size_t i = tier.begin; i < tier.end; ++i) {
    if (!usable(endpoints_[i])) continue;
    if (ticket < endpoints_[i].workload->capacity) return &endpoints_[i];
    ticket -= endpoints_[i].workload->capacity;
  }
  return nullptr;
}

}  // namespace byrnie
