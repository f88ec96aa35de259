#include "proxy/routing_table.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/testing/routing_table_fixture.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Kind = RouteDecision::Kind;

class RoutingTableTest : public RoutingTableFixture {};

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
