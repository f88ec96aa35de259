#include "proxy/endpoint_set.h"

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Mode = LoadBalancing::Mode;
using Scope = LoadBalancing::Scope;
using ::testing::ElementsAre;

Placement In(const std::string& region, const std::string& zone, const std::string& node = "") {
  Placement placement;
  placement.region = region;
  placement.zone = zone;
  placement.node = node;
  return placement;
}

Endpoint Make(const std::string& name, Placement placement, uint32_t capacity = 1,
              bool healthy = true) {
  auto workload = std::make_shared<Workload>();
  workload->uid = name;
  workload->addresses = {*IpAddress::Parse("10.0.0.1")};
  workload->placement = std::move(placement);
  workload->capacity = capacity;
  workload->healthy = healthy;
  Endpoint endpoint;
  endpoint.workload = std::move(workload);
  endpoint.target_port = 8080;
  endpoint.v4 = 0;
  return endpoint;
}

LoadBalancing Prefer(Mode mode, std::vector<Scope> preference) {
  LoadBalancing balancing;
  balancing.mode = mode;
  balancing.preference = std::move(preference);
  return balancing;
}

bool Any(const Endpoint&) { return true; }

class EndpointSetTest : public ::testing::Test {
 protected:
  // Everyone that draws come upon.
  std::set<std::string> Drawn(const EndpointSet& set, EndpointSet::Usable usable) {
    std::set<std::string> drawn;
    for (int i = 0; i < 300; ++i) {
      const Endpoint* endpoint = set.Draw(random_, usable);
      if (endpoint != nullptr) drawn.insert(endpoint->workload->uid);
    }
    return drawn;
  }

  std::mt19937_64 random_{11};
};

TEST_F(EndpointSetTest, OfNobodyNobodyIsDrawn) {
  const EndpointSet set({}, LoadBalancing(), nullptr);
  EXPECT_EQ(set.Draw(random_, Any), nullptr);
}

TEST_F(EndpointSetTest, FailoverTakesThoseInMostScopesAndFallsBackInOrder) {
  const Placement own = In("eu", "eu-1", "n1");
  const EndpointSet set({Make("far", In("us", "us-1")), Make("region", In("eu", "eu-2")),
                         Make("zone", In("eu", "eu-1", "n2")), Make("node", In("eu", "eu-1", "n1")),
                         Make("nowhere", Placement())},
                        Prefer(Mode::kFailover, {Scope::kRegion, Scope::kZone, Scope::kNode}),
                        &own);
  std::set<std::string> gone;
  const auto there = [&gone](const Endpoint& endpoint) {
    return gone.count(endpoint.workload->uid) == 0;
  };
  EXPECT_THAT(Drawn(set, there), ElementsAre("node"));
  gone.insert("node");
  EXPECT_THAT(Drawn(set, there), ElementsAre("zone"));
  gone.insert("zone");
  EXPECT_THAT(Drawn(set, there), ElementsAre("region"));
  gone.insert("region");
  EXPECT_THAT(Drawn(set, there), ElementsAre("far", "nowhere"));
  gone.insert("far");
  gone.insert("nowhere");
  EXPECT_EQ(set.Draw(random_, there), nullptr);
}

TEST_F(EndpointSetTest, AScopeThatIsNotKeptHidesThoseBehindIt) {
  // The zone's name happens to be the same in another region.
  const Placement own = In("eu", "1");
  const EndpointSet set({Make("other-region", In("us", "1")), Make("other-zone", In("eu", "2"))},
                        Prefer(Mode::kFailover, {Scope::kRegion, Scope::kZone}), &own);
  EXPECT_THAT(Drawn(set, Any), ElementsAre("other-zone"));
}

TEST_F(EndpointSetTest, StrictLeavesOutWhoeverIsNotInAllScopes) {
  const Placement own = In("eu", "eu-1");
  const std::vector<Endpoint> endpoints = {Make("zone", In("eu", "eu-1")),
                                           Make("sick", In("eu", "eu-1"), 1, false),
                                           Make("region", In("eu", "eu-2"))};
  const EndpointSet set(endpoints, Prefer(Mode::kStrict, {Scope::kRegion, Scope::kZone}), &own);
  EXPECT_THAT(Drawn(set, Any), ElementsAre("zone"));
  EXPECT_EQ(set.out_of_scope(), 1u);
  EXPECT_EQ(set.unhealthy(), 1u);
  // Never somebody else, also when the one in scope is not usable.
  EXPECT_EQ(set.Draw(random_, [](const Endpoint& e) { return e.workload->uid != "zone"; }),
            nullptr);
}

TEST_F(EndpointSetTest, WhatIsNotKnownIsTheSameAsNothing) {
  const Placement nowhere;
  const std::vector<Endpoint> endpoints = {Make("a", Placement()), Make("b", In("eu", "eu-1"))};
  for (const Scope scope : {Scope::kRegion, Scope::kZone, Scope::kSubzone, Scope::kNode}) {
    EXPECT_EQ(EndpointSet(endpoints, Prefer(Mode::kStrict, {scope}), &nowhere).size(), 0u);
    EXPECT_EQ(EndpointSet(endpoints, Prefer(Mode::kStrict, {scope}), nullptr).size(), 0u);
    EXPECT_EQ(EndpointSet(endpoints, Prefer(Mode::kFailover, {scope}), nullptr).size(), 2u);
  }
  // One network and one cluster need no name.
  for (const Scope scope : {Scope::kNetwork, Scope::kCluster}) {
    EXPECT_EQ(EndpointSet(endpoints, Prefer(Mode::kStrict, {scope}), &nowhere).size(), 2u);
    EXPECT_EQ(EndpointSet(endpoints, Prefer(Mode::kStrict, {scope}), nullptr).size(), 0u);
  }
}

TEST_F(EndpointSetTest, UnhealthyOnesFailOverUnlessTheyAreAllowed) {
  const Placement own = In("eu", "eu-1");
  const std::vector<Endpoint> endpoints = {Make("local", In("eu", "eu-1"), 1, false),
                                           Make("far", In("us", "us-1"))};
  LoadBalancing balancing = Prefer(Mode::kFailover, {Scope::kRegion});
  EXPECT_THAT(Drawn(EndpointSet(endpoints, balancing, &own), Any), ElementsAre("far"));
  balancing.allow_unhealthy = true;
  EXPECT_THAT(Drawn(EndpointSet(endpoints, balancing, &own), Any), ElementsAre("local"));
}

// Whatever the endpoints, their scopes and who is usable: only usable ones are drawn, of the best
// tier there is, each by its part of that tier's usable capacity.
TEST_F(EndpointSetTest, DrawsByCapacityFromTheBestUsableTierWhateverTheSetIs) {
  const Placement own = In("r0", "z0", "n0");
  const std::vector<Scope> scopes = {Scope::kRegion, Scope::kZone, Scope::kNode};
  for (int round = 0; round < 200; ++round) {
    const Mode mode = std::vector<Mode>{Mode::kAny, Mode::kStrict, Mode::kFailover}[random_() % 3];
    LoadBalancing balancing;
    balancing.mode = mode;
    if (mode != Mode::kAny) balancing.preference = scopes;
    std::vector<Endpoint> endpoints;
    std::map<std::string, size_t> rank;
    std::map<std::string, uint32_t> capacity;
    std::set<std::string> usable;
    const size_t count = 1 + random_() % 12;
    for (size_t i = 0; i < count; ++i) {
      const std::string name = absl::StrCat("e", i);
      const Placement place = In(absl::StrCat("r", random_() % 2), absl::StrCat("z", random_() % 2),
                                 absl::StrCat("n", random_() % 2));
      const bool healthy = random_() % 4 != 0;
      const auto weight = static_cast<uint32_t>(1 + random_() % 9);
      endpoints.push_back(Make(name, place, weight, healthy));
      const size_t kept = place.region != "r0" ? 0
                          : place.zone != "z0" ? 1
                          : place.node != "n0" ? 2
                                               : 3;
      rank[name] = mode == Mode::kAny ? 0 : kept;
      capacity[name] = weight;
      if (healthy && random_() % 3 != 0 && (mode != Mode::kStrict || kept == 3)) {
        usable.insert(name);
      }
    }
    const EndpointSet set(endpoints, balancing, &own);
    const auto is_usable = [&](const Endpoint& e) { return usable.count(e.workload->uid) > 0; };

    size_t best = 0;
    for (const std::string& name : usable) best = std::max(best, rank[name]);
    std::map<std::string, double> expected;
    double total = 0;
    for (const std::string& name : usable) {
      if (rank[name] == best) total += expected[name] = capacity[name];
    }
    constexpr int kDraws = 3000;
    std::map<std::string, int> seen;
    for (int i = 0; i < kDraws; ++i) {
      const Endpoint* drawn = set.Draw(random_, is_usable);
      if (drawn != nullptr) ++seen[drawn->workload->uid];
    }
    ASSERT_EQ(seen.size(), expected.size()) << round;
    for (const auto& [name, weight] : expected) {
      // Five standard deviations of the largest there can be.
      EXPECT_NEAR(seen[name], kDraws * weight / total, 5 * 0.5 * 55) << round << " " << name;
    }
  }
}

}  // namespace
}  // namespace byrnie
