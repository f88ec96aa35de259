#include "proxy/routing_table.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Kind = RouteDecision::Kind;

IpAddress Ip(absl::string_view text) { return IpAddress::Parse(text).value(); }
SocketAddress At(absl::string_view text) { return SocketAddress::Parse(text).value(); }
SpiffeId Id(absl::string_view text) { return SpiffeId::Parse(text).value(); }

constexpr char kServiceKey[] = "demo/web.demo.svc.cluster.local";

istio::workload::Workload MakeWorkload(const std::string& name,
                                       const std::vector<std::string>& addresses) {
  istio::workload::Workload workload;
  workload.set_uid("static//pod/demo/" + name);
  workload.set_name(name);
  workload.set_namespace_("demo");
  workload.set_service_account(name);
  workload.set_tunnel_protocol(istio::workload::HBONE);
  for (const std::string& address : addresses) workload.add_addresses(Ip(address).ToBytes());
  return workload;
}

// A workload that serves port 80 of the service at its own port 8080.
istio::workload::Workload MakeEndpoint(const std::string& name, const std::string& address,
                                       uint32_t capacity = 1) {
  istio::workload::Workload workload = MakeWorkload(name, {address});
  workload.mutable_capacity()->set_value(capacity);
  istio::workload::Port* port = (*workload.mutable_services())[kServiceKey].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return workload;
}

istio::workload::Service MakeService(const std::vector<std::string>& vips) {
  istio::workload::Service service;
  service.set_name("web");
  service.set_namespace_("demo");
  service.set_hostname("web.demo.svc.cluster.local");
  for (const std::string& vip : vips) service.add_addresses()->set_address(Ip(vip).ToBytes());
  istio::workload::Port* port = service.add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return service;
}

class RoutingTableTest : public ::testing::Test {
 public:
  RoutingTableTest& Add(const istio::workload::Workload& workload) {
    *update_.add_upserts()->mutable_workload() = workload;
    return *this;
  }
  RoutingTableTest& Add(const istio::workload::Service& service) {
    *update_.add_upserts()->mutable_service() = service;
    return *this;
  }
  RoutingTableTest& Remove(const std::string& key) {
    update_.add_removals(key);
    return *this;
  }
  // Applies what was collected and makes the snapshot the tests look at.
  std::vector<absl::Status> Apply(bool replace_all = false) {
    update_.set_replace_all(replace_all);
    std::vector<absl::Status> rejected = builder_.Apply(update_);
    update_.Clear();
    table_ = builder_.Build();
    return rejected;
  }
  RouteDecision Resolve(absl::string_view destination) {
    return table_->Resolve(At(destination), random_);
  }

  link::v1::AddressUpdate update_;
  RoutingTableBuilder builder_;
  std::shared_ptr<const RoutingTable> table_;
  std::mt19937_64 random_{7};
};

TEST_F(RoutingTableTest, KnowsNothingAtFirst) {
  const RoutingTable table;
  const RouteDecision route = table.Resolve(At("10.0.0.1:80"), random_);
  EXPECT_EQ(route.kind, Kind::kUnknown);
  EXPECT_EQ(route.endpoint, At("10.0.0.1:80"));
  EXPECT_EQ(table.FindWorkload(Ip("10.0.0.1")), nullptr);
  EXPECT_EQ(table.FindService(Ip("10.0.0.1")), nullptr);
}

TEST_F(RoutingTableTest, TunnelsToAWorkloadByItsOwnAddress) {
  EXPECT_THAT(Add(MakeWorkload("server", {"10.0.0.1"})).Apply(), IsEmpty());
  const RouteDecision route = Resolve("10.0.0.1:9000");
  EXPECT_EQ(route.kind, Kind::kHbone);
  EXPECT_EQ(route.endpoint, At("10.0.0.1:9000"));
  EXPECT_EQ(route.tunnel, At("10.0.0.1:15008"));
  EXPECT_THAT(route.identities, ElementsAre(Id("spiffe://cluster.local/ns/demo/sa/server")));
  EXPECT_EQ(route.service, "");
  EXPECT_EQ(route.workload, "static//pod/demo/server");
  EXPECT_EQ(Resolve("10.0.0.2:9000").kind, Kind::kUnknown);
}

TEST_F(RoutingTableTest, MapsTheServicePortToTheWorkloadsPort) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  const RouteDecision route = Resolve("10.96.0.10:80");
  EXPECT_EQ(route.kind, Kind::kHbone);
  EXPECT_EQ(route.endpoint, At("10.0.0.1:8080"));
  EXPECT_EQ(route.tunnel, At("10.0.0.1:15008"));
  EXPECT_EQ(route.service, kServiceKey);
}

TEST_F(RoutingTableTest, TargetPortZeroMeansTheServicePort) {
  istio::workload::Workload workload = MakeEndpoint("server", "10.0.0.1");
  (*workload.mutable_services())[kServiceKey].mutable_ports(0)->set_target_port(0);
  Add(MakeService({"10.96.0.10"})).Add(workload).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").endpoint, At("10.0.0.1:80"));
}

TEST_F(RoutingTableTest, EachWorkloadMapsPortsItsOwnWay) {
  istio::workload::Workload other = MakeEndpoint("other", "10.0.0.2");
  (*other.mutable_services())[kServiceKey].mutable_ports(0)->set_target_port(9090);
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Add(other).Apply();
  std::map<std::string, int> seen;
  for (int i = 0; i < 100; ++i) ++seen[Resolve("10.96.0.10:80").endpoint.ToString()];
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen.count("10.0.0.1:8080"), 1u);
  EXPECT_EQ(seen.count("10.0.0.2:9090"), 1u);
}

TEST_F(RoutingTableTest, RefusesAPortTheServiceDoesNotHave) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  const RouteDecision route = Resolve("10.96.0.10:8080");
  EXPECT_EQ(route.kind, Kind::kNoEndpoint);
  EXPECT_EQ(route.reason, route_reason::kUnknownServicePort);
  EXPECT_EQ(route.service, kServiceKey);
}

TEST_F(RoutingTableTest, RefusesWhenNobodyServesThePort) {
  Add(MakeService({"10.96.0.10"})).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoEndpoint);
}

TEST_F(RoutingTableTest, DrawsEndpointsByCapacity) {
  Add(MakeService({"10.96.0.10"}))
      .Add(MakeEndpoint("a", "10.0.0.1", 1))
      .Add(MakeEndpoint("b", "10.0.0.2", 3))
      .Add(MakeEndpoint("c", "10.0.0.3", 0))  // 0 means 1.
      .Apply();
  std::map<std::string, int> seen;
  constexpr int kDraws = 50000;
  for (int i = 0; i < kDraws; ++i) ++seen[Resolve("10.96.0.10:80").endpoint.ToString()];
  EXPECT_NEAR(seen["10.0.0.1:8080"], kDraws / 5, kDraws / 50);
  EXPECT_NEAR(seen["10.0.0.2:8080"], kDraws * 3 / 5, kDraws / 50);
  EXPECT_NEAR(seen["10.0.0.3:8080"], kDraws / 5, kDraws / 50);
}

TEST_F(RoutingTableTest, LargestCapacitiesDoNotOverflow) {
  Add(MakeService({"10.96.0.10"}));
  for (int i = 1; i <= 4; ++i) {
    Add(MakeEndpoint(absl::StrCat("w", i), absl::StrCat("10.0.0.", i), UINT32_MAX));
  }
  Apply();
  std::map<std::string, int> seen;
  for (int i = 0; i < 400; ++i) ++seen[Resolve("10.96.0.10:80").endpoint.ToString()];
  EXPECT_EQ(seen.size(), 4u);
}

TEST_F(RoutingTableTest, UnhealthyEndpointsGetNoNewConnections) {
  istio::workload::Workload sick = MakeEndpoint("sick", "10.0.0.1", 1000);
  sick.set_status(istio::workload::UNHEALTHY);
  Add(MakeService({"10.96.0.10"})).Add(sick).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoHealthyEndpoint);

  Add(MakeEndpoint("well", "10.0.0.2", 1)).Apply();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Resolve("10.96.0.10:80").endpoint, At("10.0.0.2:8080"));
  }
  // Whoever asks for that one gets it.
  EXPECT_EQ(Resolve("10.0.0.1:8080").kind, Kind::kHbone);
}

// An endpoint with a place to be.
istio::workload::Workload InZone(istio::workload::Workload workload, const std::string& zone) {
  workload.mutable_locality()->set_region("eu");
  workload.mutable_locality()->set_zone(zone);
  return workload;
}

istio::workload::Service KeptInZone(istio::workload::LoadBalancing::Mode mode) {
  istio::workload::Service service = MakeService({"10.96.0.10"});
  service.mutable_load_balancing()->set_mode(mode);
  service.mutable_load_balancing()->add_routing_preference(istio::workload::LoadBalancing::REGION);
  service.mutable_load_balancing()->add_routing_preference(istio::workload::LoadBalancing::ZONE);
  return service;
}

TEST_F(RoutingTableTest, LearnsWhereItIsFromTheWorkloadOfItsOwnAddress) {
  builder_.SetOwnAddresses({Ip("127.0.0.1"), Ip("10.0.0.9")});
  Add(KeptInZone(istio::workload::LoadBalancing::FAILOVER))
      .Add(InZone(MakeEndpoint("a", "10.0.0.1"), "eu-1"))
      .Add(InZone(MakeEndpoint("b", "10.0.0.2"), "eu-2"))
      .Apply();
  const auto seen = [this] {
    std::set<std::string> endpoints;
    for (int i = 0; i < 100; ++i) endpoints.insert(Resolve("10.96.0.10:80").endpoint.ToString());
    return endpoints;
  };
  EXPECT_THAT(seen(), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  // It is learnt after the service, and it may change.
  Add(InZone(MakeWorkload("own", {"10.0.0.9"}), "eu-1")).Apply();
  EXPECT_THAT(seen(), ElementsAre("10.0.0.1:8080"));
  Add(InZone(MakeWorkload("own", {"10.0.0.9"}), "eu-2")).Apply();
  EXPECT_THAT(seen(), ElementsAre("10.0.0.2:8080"));
  Remove("static//pod/demo/own").Apply();
  EXPECT_THAT(seen(), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
}

TEST_F(RoutingTableTest, AStrictServiceWithoutAnEndpointInScopeIsRefused) {
  builder_.SetOwnAddresses({Ip("10.0.0.9")});
  Add(KeptInZone(istio::workload::LoadBalancing::STRICT))
      .Add(InZone(MakeEndpoint("a", "10.0.0.1"), "eu-1"))
      .Add(InZone(MakeWorkload("own", {"10.0.0.9"}), "eu-2"))
      .Apply();
  const RouteDecision refused = Resolve("10.96.0.10:80");
  EXPECT_EQ(refused.kind, Kind::kNoEndpoint);
  EXPECT_EQ(refused.reason, route_reason::kNoEndpoint);
  EXPECT_THAT(refused.detail, HasSubstr("none of the 1 endpoints"));

  istio::workload::Workload sick = InZone(MakeEndpoint("b", "10.0.0.2"), "eu-2");
  sick.set_status(istio::workload::UNHEALTHY);
  Add(sick).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoHealthyEndpoint);
  // Whoever asks for that one gets it, wherever it is.
  EXPECT_EQ(Resolve("10.0.0.1:8080").kind, Kind::kHbone);
}

TEST_F(RoutingTableTest, AServiceThatDoesNotBalanceLeavesItsAddressesToTheirOwners) {
  istio::workload::Service service = MakeService({"10.96.0.10", "10.0.0.1"});
  service.mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::PASSTHROUGH);
  Add(service).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.0.0.1:80").endpoint, At("10.0.0.1:80"));
}

TEST_F(RoutingTableTest, EjectedEndpointsAreUsedOnlyWhenNobodyElseIsLeftAndTriedOnesNever) {
  Add(MakeService({"10.96.0.10"}))
      .Add(MakeEndpoint("a", "10.0.0.1"))
      .Add(MakeEndpoint("b", "10.0.0.2"))
      .Add(MakeEndpoint("c", "10.0.0.3"))
      .Apply();
  std::map<std::string, Standing> standing;
  const auto judge = [&standing](const SocketAddress& endpoint) {
    return standing[endpoint.ToString()];  // Usable at first.
  };
  const auto seen = [&] {
    std::set<std::string> endpoints;
    for (int i = 0; i < 100; ++i) {
      const RouteDecision route = table_->Resolve(At("10.96.0.10:80"), random_, judge);
      endpoints.insert(route.kind == Kind::kHbone ? route.endpoint.ToString()
                                                  : std::string(route.reason));
    }
    return endpoints;
  };
  EXPECT_THAT(seen(), SizeIs(3));
  standing["10.0.0.1:8080"] = Standing::kEjected;
  EXPECT_THAT(seen(), ElementsAre("10.0.0.2:8080", "10.0.0.3:8080"));
  standing["10.0.0.2:8080"] = standing["10.0.0.3:8080"] = Standing::kEjected;
  EXPECT_THAT(seen(), SizeIs(3));
  standing["10.0.0.2:8080"] = Standing::kTried;
  EXPECT_THAT(seen(), ElementsAre("10.0.0.1:8080", "10.0.0.3:8080"));
  standing["10.0.0.1:8080"] = standing["10.0.0.3:8080"] = Standing::kTried;
  EXPECT_THAT(seen(), ElementsAre(route_reason::kNoEndpoint));
  // By its own address it is used all the same.
  EXPECT_EQ(table_->Resolve(At("10.0.0.1:8080"), random_, judge).kind, Kind::kHbone);
}

// However updates come, the table is the one that the same state in one update makes.
TEST_F(RoutingTableTest, UpdatesOneByOneMakeTheTableThatOneUpdateMakes) {
  for (int round = 0; round < 40; ++round) {
    RoutingTableBuilder steps;
    // The latest upserts, in order.
    std::vector<std::pair<std::string, istio::workload::Address>> state;
    std::shared_ptr<const RoutingTable> table;
    for (int step = 0; step < 30; ++step) {
      link::v1::AddressUpdate update;
      istio::workload::Address address;
      std::string key;
      if (random_() % 4 == 0) {
        const auto number = random_() % 3;
        *address.mutable_service() = MakeService({absl::StrCat("10.96.0.", random_() % 3)});
        address.mutable_service()->set_hostname(absl::StrCat("s", number));
        key = absl::StrCat("demo/s", number);
      } else {
        *address.mutable_workload() =
            MakeEndpoint(absl::StrCat("w", random_() % 6), absl::StrCat("10.0.0.", random_() % 6));
        (*address.mutable_workload()->mutable_services())[absl::StrCat("demo/s", random_() % 3)] =
            (*address.mutable_workload()->mutable_services())[kServiceKey];
        key = address.workload().uid();
      }
      state.erase(std::remove_if(state.begin(), state.end(),
                                 [&](const auto& entry) { return entry.first == key; }),
                  state.end());
      if (random_() % 4 == 0) {
        update.add_removals(key);
      } else {
        *update.add_upserts() = address;
        state.emplace_back(key, address);
      }
      EXPECT_THAT(steps.Apply(update), IsEmpty());
      // Now and then, several updates to a table.
      if (random_() % 2 == 0) table = steps.Build();
    }
    table = steps.Build();
    RoutingTableBuilder once;
    link::v1::AddressUpdate all;
    all.set_replace_all(true);
    for (const auto& [key, address] : state) *all.add_upserts() = address;
    EXPECT_THAT(once.Apply(all), IsEmpty());
    const std::shared_ptr<const RoutingTable> expected = once.Build();
    EXPECT_EQ(table->workload_count(), expected->workload_count());
    EXPECT_EQ(table->service_count(), expected->service_count());
    for (int i = 0; i < 6; ++i) {
      for (const char* network : {"10.0.0.", "10.96.0."}) {
        const SocketAddress destination = At(absl::StrCat(network, i, ":80"));
        std::mt19937_64 dice(static_cast<uint64_t>(round)), same_dice(static_cast<uint64_t>(round));
        for (int draw = 0; draw < 20; ++draw) {
          const RouteDecision a = table->Resolve(destination, dice);
          const RouteDecision b = expected->Resolve(destination, same_dice);
          EXPECT_EQ(a.kind, b.kind);
          EXPECT_EQ(a.endpoint, b.endpoint);
          EXPECT_EQ(a.workload, b.workload);
          EXPECT_EQ(a.service, b.service);
          EXPECT_EQ(a.reason, b.reason);
        }
      }
    }
  }
}

TEST_F(RoutingTableTest, SubjectAltNamesOfTheServiceAreAllowedToo) {
  istio::workload::Service service = MakeService({"10.96.0.10"});
  service.add_subject_alt_names("spiffe://cluster.local/ns/demo/sa/a-shared");
  service.add_subject_alt_names("spiffe://cluster.local/ns/demo/sa/server");
  Add(service).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  EXPECT_THAT(Resolve("10.96.0.10:80").identities,
              ElementsAre(Id("spiffe://cluster.local/ns/demo/sa/a-shared"),
                          Id("spiffe://cluster.local/ns/demo/sa/server")));
  // They are the service's: the workload asked for directly proves its own.
  EXPECT_THAT(Resolve("10.0.0.1:80").identities,
              ElementsAre(Id("spiffe://cluster.local/ns/demo/sa/server")));
}

TEST_F(RoutingTableTest, OnlyAWorkloadKnownToBeOutsideTheMeshIsPlaintext) {
  istio::workload::Workload plain = MakeWorkload("plain", {"10.0.0.1"});
  plain.set_tunnel_protocol(istio::workload::NONE);
  istio::workload::Workload legacy = MakeWorkload("legacy", {"10.0.0.2"});
  legacy.set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  Add(plain).Add(legacy).Apply();
  const RouteDecision route = Resolve("10.0.0.1:80");
  EXPECT_EQ(route.kind, Kind::kPlaintext);
  EXPECT_EQ(route.endpoint, At("10.0.0.1:80"));
  EXPECT_THAT(route.identities, IsEmpty());
  const RouteDecision direct = Resolve("10.0.0.2:80");
  EXPECT_EQ(direct.kind, Kind::kDirectMtls);
  EXPECT_EQ(direct.endpoint, At("10.0.0.2:80"));
  EXPECT_EQ(direct.tunnel, SocketAddress());
  EXPECT_THAT(direct.identities, ElementsAre(Id("spiffe://cluster.local/ns/demo/sa/legacy")));
}

TEST_F(RoutingTableTest, AWorkloadMayAskForTheProxyProtocol) {
  istio::workload::Workload same = MakeWorkload("same", {"10.0.0.1"});
  same.mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
  istio::workload::Workload other = MakeWorkload("other", {"10.0.0.2"});
  *other.mutable_application_tunnel() = same.application_tunnel();
  other.mutable_application_tunnel()->set_port(9000);
  Add(same).Add(other).Add(MakeWorkload("plain", {"10.0.0.3"})).Apply();
  const auto find = [this](const char* ip) { return table_->FindWorkload(*IpAddress::Parse(ip)); };
  EXPECT_TRUE(find("10.0.0.1")->proxy_protocol);
  EXPECT_EQ(find("10.0.0.1")->proxy_protocol_port, 0);
  EXPECT_EQ(find("10.0.0.2")->proxy_protocol_port, 9000);
  EXPECT_FALSE(find("10.0.0.3")->proxy_protocol);
}

TEST_F(RoutingTableTest, WorksTheSameOverIpv6) {
  Add(MakeService({"fd96::10"})).Add(MakeEndpoint("server", "fd77::2")).Apply();
  const RouteDecision route = Resolve("[fd96::10]:80");
  EXPECT_EQ(route.kind, Kind::kHbone);
  EXPECT_EQ(route.endpoint, At("[fd77::2]:8080"));
  EXPECT_EQ(route.tunnel, At("[fd77::2]:15008"));
  EXPECT_EQ(Resolve("[fd77::3]:80").kind, Kind::kUnknown);
}

TEST_F(RoutingTableTest, TunnelsToALinkLocalAddressOverTheInterfaceItWasAskedForOn) {
  Add(MakeWorkload("server", {"fe80::2"})).Apply();
  const SocketAddress destination(Ip("fe80::2"), 9000, 7);
  const RouteDecision route = table_->Resolve(destination, random_);
  EXPECT_EQ(route.endpoint, destination);
  EXPECT_EQ(route.tunnel, SocketAddress(Ip("fe80::2"), 15008, 7));
}

TEST_F(RoutingTableTest, ADualStackWorkloadIsDialledInTheFamilyOfTheDestination) {
  istio::workload::Workload workload = MakeEndpoint("server", "10.0.0.1");
  workload.add_addresses(Ip("fd77::2").ToBytes());
  Add(MakeService({"10.96.0.10", "fd96::10"})).Add(workload).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").endpoint, At("10.0.0.1:8080"));
  EXPECT_EQ(Resolve("[fd96::10]:80").endpoint, At("[fd77::2]:8080"));

  Add(MakeEndpoint("server", "10.0.0.1")).Apply();  // IPv4 only now.
  EXPECT_EQ(Resolve("[fd96::10]:80").endpoint, At("10.0.0.1:8080"));
}

TEST_F(RoutingTableTest, AServiceAddressIsLookedForBeforeAWorkloads) {
  Add(MakeWorkload("squatter", {"10.96.0.10"}))
      .Add(MakeService({"10.96.0.10"}))
      .Add(MakeEndpoint("server", "10.0.0.1"))
      .Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").endpoint, At("10.0.0.1:8080"));
}

TEST_F(RoutingTableTest, AReusedAddressBelongsToTheLatestUpsert) {
  Add(MakeEndpoint("old", "10.0.0.1")).Apply();
  Add(MakeService({"10.96.0.10"})).Add(MakeWorkload("new", {"10.0.0.1"})).Apply();
  EXPECT_THAT(Resolve("10.0.0.1:80").identities,
              ElementsAre(Id("spiffe://cluster.local/ns/demo/sa/new")));
  // The old one has no address left, and its service does not send anybody to the new one.
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoEndpoint);

  // The stale claim goes without touching the new owner; the new one goes and the address is
  // nobody's.
  Remove("static//pod/demo/old").Apply();
  EXPECT_EQ(table_->FindWorkload(Ip("10.0.0.1"))->name, "new");
  Remove("static//pod/demo/new").Apply();
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
}

TEST_F(RoutingTableTest, AnAddressFallsBackToTheOtherClaimant) {
  Add(MakeWorkload("a", {"10.0.0.1"})).Add(MakeWorkload("b", {"10.0.0.1"})).Apply();
  EXPECT_EQ(table_->FindWorkload(Ip("10.0.0.1"))->name, "b");
  Remove("static//pod/demo/b").Apply();
  EXPECT_EQ(table_->FindWorkload(Ip("10.0.0.1"))->name, "a");
}

TEST_F(RoutingTableTest, AChangedResourceIsReplacedAsAWhole) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Add(MakeWorkload("server", {"10.0.0.2"})).Apply();
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoEndpoint);
}

TEST_F(RoutingTableTest, RemovesByKeyAndReplacesAll) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Remove(kServiceKey).Remove("never/there").Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kHbone);
  Add(MakeWorkload("other", {"10.0.0.9"})).Apply(/*replace_all=*/true);
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.0.0.9:80").kind, Kind::kHbone);
  EXPECT_EQ(table_->workloads().size(), 1u);
}

TEST_F(RoutingTableTest, ArrivalOrderOfServiceAndWorkloadDoesNotMatter) {
  Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Add(MakeService({"10.96.0.10"})).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kHbone);
}

TEST_F(RoutingTableTest, ASnapshotNeverChanges) {
  Add(MakeWorkload("server", {"10.0.0.1"})).Apply();
  const std::shared_ptr<const RoutingTable> old = table_;
  Remove("static//pod/demo/server").Apply();
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(old->Resolve(At("10.0.0.1:80"), random_).kind, Kind::kHbone);
}

TEST_F(RoutingTableTest, ABadResourceKeepsItsLastGoodVersionAndHarmsNoOther) {
  Add(MakeWorkload("server", {"10.0.0.1"})).Apply();
  for (const bool replace_all : {false, true}) {
    istio::workload::Workload bad = MakeWorkload("server", {"10.0.0.7"});
    bad.add_addresses("xyz");
    Add(bad).Add(MakeWorkload("other", {"10.0.0.2"}));
    EXPECT_THAT(Apply(replace_all),
                ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("workload \"static//pod/demo/server\""))));
    EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kHbone);
    EXPECT_EQ(Resolve("10.0.0.7:80").kind, Kind::kUnknown);
    EXPECT_EQ(Resolve("10.0.0.2:80").kind, Kind::kHbone);
  }
}

TEST_F(RoutingTableTest, RejectsWhatItDoesNotUnderstandOfAWorkload) {
  const auto message = [this](void (*change)(istio::workload::Workload*)) {
    istio::workload::Workload workload = MakeEndpoint("server", "10.0.0.1");
    change(&workload);
    Add(workload);
    const std::vector<absl::Status> rejected = Apply();
    EXPECT_EQ(rejected.size(), 1u);
    return rejected.empty() ? std::string() : std::string(rejected[0].message());
  };
  EXPECT_THAT(message([](auto* w) { w->clear_uid(); }), HasSubstr("no uid"));
  EXPECT_THAT(message([](auto* w) { w->clear_namespace_(); }), HasSubstr("no namespace"));
  EXPECT_THAT(message([](auto* w) {
                w->set_tunnel_protocol(static_cast<istio::workload::TunnelProtocol>(7));
              }),
              HasSubstr("unknown tunnel protocol 7"));
  EXPECT_THAT(
      message([](auto* w) { w->set_status(static_cast<istio::workload::WorkloadStatus>(9)); }),
      HasSubstr("unknown status 9"));
  EXPECT_THAT(message([](auto* w) { w->set_service_account("a/b"); }), HasSubstr("identity"));
  EXPECT_THAT(message([](auto* w) { w->set_namespace_("demo/sa/x"); }), HasSubstr("identity"));
  EXPECT_THAT(message([](auto* w) { w->set_trust_domain("td/ns/x"); }), HasSubstr("identity"));
  EXPECT_THAT(message([](auto* w) { w->add_addresses(std::string(4, '\0')); }),
              HasSubstr("all zero"));
  EXPECT_THAT(message([](auto* w) {
                (*w->mutable_services())[kServiceKey].mutable_ports(0)->set_service_port(0);
              }),
              HasSubstr("port 0"));
  EXPECT_THAT(message([](auto* w) {
                (*w->mutable_services())[kServiceKey].mutable_ports(0)->set_target_port(65536);
              }),
              HasSubstr("port 65536"));
}

TEST_F(RoutingTableTest, RejectsAServiceWhoseBalancingItDoesNotUnderstand) {
  using pb = istio::workload::LoadBalancing;
  const auto message = [this](void (*change)(pb*)) {
    istio::workload::Service service = MakeService({"10.96.0.10"});
    service.mutable_load_balancing()->set_mode(pb::FAILOVER);
    service.mutable_load_balancing()->add_routing_preference(pb::ZONE);
    change(service.mutable_load_balancing());
    const std::vector<absl::Status> rejected = Add(service).Apply();
    // Not taken for one without preferences: its traffic might leave where it is to stay.
    EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kUnknown);
    return rejected.empty() ? std::string() : std::string(rejected[0].message());
  };
  EXPECT_THAT(message([](pb* b) { b->set_mode(static_cast<pb::Mode>(9)); }),
              AllOf(HasSubstr(kServiceKey), HasSubstr("unknown load balancing mode 9")));
  EXPECT_THAT(message([](pb* b) { b->add_routing_preference(static_cast<pb::Scope>(7)); }),
              HasSubstr("unknown load balancing scope 7"));
  EXPECT_THAT(message([](pb* b) { b->add_routing_preference(pb::UNSPECIFIED_SCOPE); }),
              HasSubstr("unknown load balancing scope 0"));
  EXPECT_THAT(message([](pb* b) { b->set_health_policy(static_cast<pb::HealthPolicy>(2)); }),
              HasSubstr("unknown health policy 2"));
  EXPECT_THAT(message([](pb* b) {
                for (int i = 0; i < 16; ++i) b->add_routing_preference(pb::ZONE);
              }),
              HasSubstr("17 load balancing scopes"));
}

TEST_F(RoutingTableTest, RejectsWhatItDoesNotUnderstandOfAService) {
  istio::workload::Service bad_name = MakeService({"10.96.0.10"});
  bad_name.add_subject_alt_names("web.demo");
  istio::workload::Service no_host = MakeService({"10.96.0.10"});
  no_host.clear_hostname();
  Add(bad_name).Add(no_host);
  update_.add_upserts();
  EXPECT_THAT(Apply(),
              ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument,
                                   AllOf(HasSubstr(kServiceKey), HasSubstr("web.demo"))),
                          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no hostname")),
                          StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr("neither a workload nor a service"))));
}

TEST_F(RoutingTableTest, UnsetPartsOfTheIdentityHaveIstiosDefaults) {
  istio::workload::Workload workload = MakeWorkload("server", {"10.0.0.1"});
  workload.clear_service_account();
  workload.set_trust_domain("other.example");
  Add(workload).Apply();
  EXPECT_THAT(Resolve("10.0.0.1:80").identities,
              ElementsAre(Id("spiffe://other.example/ns/demo/sa/default")));
}

TEST_F(RoutingTableTest, KeepsWhatPoliciesNeedOfAWorkload) {
  istio::workload::Workload workload = MakeWorkload("server", {"10.0.0.1"});
  workload.add_authorization_policies("demo/allow-client");
  Add(workload).Apply();
  const Workload* found = table_->FindWorkload(Ip("10.0.0.1"));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->ns, "demo");
  EXPECT_THAT(found->authorization_policies, ElementsAre("demo/allow-client"));
}

}  // namespace
}  // namespace byrnie
