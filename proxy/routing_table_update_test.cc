// How the table follows updates, and what it rejects of them.
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/testing/routing_table_fixture.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Kind = RouteDecision::Kind;

class RoutingTableUpdateTest : public RoutingTableFixture {};

// However updates come, the table is the one that the same state in one update makes.
TEST_F(RoutingTableUpdateTest, UpdatesOneByOneMakeTheTableThatOneUpdateMakes) {
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

TEST_F(RoutingTableUpdateTest, AReusedAddressBelongsToTheLatestUpsert) {
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

TEST_F(RoutingTableUpdateTest, AnAddressFallsBackToTheOtherClaimant) {
  Add(MakeWorkload("a", {"10.0.0.1"})).Add(MakeWorkload("b", {"10.0.0.1"})).Apply();
  EXPECT_EQ(table_->FindWorkload(Ip("10.0.0.1"))->name, "b");
  Remove("static//pod/demo/b").Apply();
  EXPECT_EQ(table_->FindWorkload(Ip("10.0.0.1"))->name, "a");
}

TEST_F(RoutingTableUpdateTest, AChangedResourceIsReplacedAsAWhole) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Add(MakeWorkload("server", {"10.0.0.2"})).Apply();
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.96.0.10:80").reason, route_reason::kNoEndpoint);
}

TEST_F(RoutingTableUpdateTest, RemovesByKeyAndReplacesAll) {
  Add(MakeService({"10.96.0.10"})).Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Remove(kServiceKey).Remove("never/there").Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kHbone);
  Add(MakeWorkload("other", {"10.0.0.9"})).Apply(/*replace_all=*/true);
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(Resolve("10.0.0.9:80").kind, Kind::kHbone);
  EXPECT_EQ(table_->workloads().size(), 1u);
}

TEST_F(RoutingTableUpdateTest, ArrivalOrderOfServiceAndWorkloadDoesNotMatter) {
  Add(MakeEndpoint("server", "10.0.0.1")).Apply();
  Add(MakeService({"10.96.0.10"})).Apply();
  EXPECT_EQ(Resolve("10.96.0.10:80").kind, Kind::kHbone);
}

TEST_F(RoutingTableUpdateTest, ASnapshotNeverChanges) {
  Add(MakeWorkload("server", {"10.0.0.1"})).Apply();
  const std::shared_ptr<const RoutingTable> old = table_;
  Remove("static//pod/demo/server").Apply();
  EXPECT_EQ(Resolve("10.0.0.1:80").kind, Kind::kUnknown);
  EXPECT_EQ(old->Resolve(At("10.0.0.1:80"), random_).kind, Kind::kHbone);
}

TEST_F(RoutingTableUpdateTest, ABadResourceKeepsItsLastGoodVersionAndHarmsNoOther) {
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

TEST_F(RoutingTableUpdateTest, RejectsWhatItDoesNotUnderstandOfAWorkload) {
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

TEST_F(RoutingTableUpdateTest, RejectsAServiceWhoseBalancingItDoesNotUnderstand) {
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

TEST_F(RoutingTableUpdateTest, RejectsWhatItDoesNotUnderstandOfAService) {
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

}  // namespace
}  // namespace byrnie
