#include "proxy/mesh_state.h"

#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/random/random.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_metrics.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MeshStateTest : public ::testing::Test {
 protected:
  MeshStateTest()
      : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError),
        metrics_(&registry_),
        ca_("cluster.local", loop_.WallNow()),
        state_(
            &loop_, &signer_, [this] { return addresses_; }, &metrics_, &logger_,
            [this](MeshSnapshotPtr snapshot) { published_.push_back(std::move(snapshot)); }) {}

  static link::v1::IdentityUpdate ToUpdate(const TestIdentity& identity, const TestCa& ca) {
    link::v1::IdentityUpdate update;
    update.set_generation(1);
    for (const CertificatePtr& certificate : identity.chain) {
      update.add_certificate_chain(certificate->der());
    }
    link::v1::Bundle* bundle = update.add_bundles();
    bundle->set_trust_domain("cluster.local");
    bundle->add_roots(ca.root()->der());
    return update;
  }
  link::v1::IdentityUpdate Identity(const char* path = "/ns/demo/sa/server") const {
    return ToUpdate(ca_.IssueSvid(path), ca_);
  }
  static link::v1::PolicyUpdate Policies(istio::security::Action action) {
    link::v1::PolicyUpdate update;
    update.set_epoch(1);
    istio::security::Authorization* policy = update.add_policies();
    policy->set_name("p");
    policy->set_namespace_("demo");
    policy->set_scope(istio::security::NAMESPACE);
    policy->set_action(action);
    policy->add_rules()->add_clauses()->add_matches()->add_namespaces()->set_exact("demo");
    return update;
  }
  static link::v1::AddressUpdate Workload(const std::string& policy) {
    link::v1::AddressUpdate update;
    istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
    workload->set_uid("u");
    workload->set_name("server");
    workload->set_namespace_("demo");
    workload->set_service_account("server");
    workload->set_trust_domain("cluster.local");
    workload->add_addresses(std::string("\x0a\0\0\1", 4));
    workload->set_tunnel_protocol(istio::workload::HBONE);
    if (!policy.empty()) workload->add_authorization_policies(policy);
    return update;
  }

  ManualEventLoop loop_;
  Logger logger_;
  MetricRegistry registry_;
  ProxyMetrics metrics_;
  const TestCa ca_;
  LocalSigner signer_;
  absl::StatusOr<absl::flat_hash_set<IpAddress>> addresses_ =
      absl::flat_hash_set<IpAddress>{*IpAddress::Parse("10.0.0.1")};
  std::vector<MeshSnapshotPtr> published_;
  MeshState state_;
};

TEST_F(MeshStateTest, KnowsHowWrongTheClockIsAndMakesNothingNewOfThatAlone) {
  link::v1::IdentityUpdate identity = Identity();
  identity.set_clock_offset_ms(-9000);
  ASSERT_THAT(state_.ApplyIdentity(identity), IsOk());
  EXPECT_EQ(state_.snapshot()->identity->identity->clock_offset(), -absl::Seconds(9));
  identity.set_clock_offset_ms(5);
  ASSERT_THAT(state_.ApplyIdentity(identity), IsOk());
  EXPECT_EQ(published_.size(), 1u);
}

TEST_F(MeshStateTest, ListsWhatIsMissingUntilItHasCome) {
  EXPECT_THAT(Missing(*state_.snapshot(), loop_.WallNow()),
              ElementsAre(HasSubstr("no identity"), HasSubstr("no policies")));
  ASSERT_THAT(state_.ApplyPolicies(link::v1::PolicyUpdate()), IsOk());
  EXPECT_THAT(Missing(*state_.snapshot(), loop_.WallNow()), ElementsAre(HasSubstr("no identity")));
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  EXPECT_THAT(Missing(*state_.snapshot(), loop_.WallNow()), IsEmpty());
  EXPECT_THAT(Missing(*state_.snapshot(), loop_.WallNow() + absl::Hours(2)),
              ElementsAre(HasSubstr("expired")));
  EXPECT_THAT(Missing(*state_.snapshot(), loop_.WallNow() - absl::Hours(2)),
              ElementsAre(HasSubstr("is valid in")));
}

TEST_F(MeshStateTest, CountsTheIdentitiesThatSomethingStillUses) {
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  // As a connection does.
  std::shared_ptr<const TlsContext> kept = state_.snapshot()->identity->direct_server;
  published_.clear();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
    published_.clear();
    EXPECT_EQ(metrics_.identities_held->value(), 2);
  }
  kept.reset();
  EXPECT_EQ(metrics_.identities_held->value(), 1);
}

TEST_F(MeshStateTest, IsNearWhateverIsNearTheWorkloadOfItsOwnAddress) {
  link::v1::AddressUpdate update = Workload("");
  update.mutable_upserts(0)->mutable_workload()->set_node("n1");
  link::v1::AddressUpdate remote = Workload("");
  istio::workload::Workload* other = remote.mutable_upserts(0)->mutable_workload();
  other->set_uid("v");
  other->set_addresses(0, std::string("\x0a\0\0\2", 4));
  other->set_node("n2");
  istio::workload::Service* service = update.add_upserts()->mutable_service();
  service->set_namespace_("demo");
  service->set_hostname("web");
  service->add_addresses()->set_address(std::string("\x0a\x60\0\1", 4));
  service->add_ports()->set_service_port(80);
  service->mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::STRICT);
  service->mutable_load_balancing()->add_routing_preference(istio::workload::LoadBalancing::NODE);
  for (istio::workload::Workload* workload :
       {update.mutable_upserts(0)->mutable_workload(), other}) {
    (*workload->mutable_services())["demo/web"].add_ports()->set_service_port(80);
  }
  ASSERT_THAT(state_.ApplyAddresses(update), IsOk());
  ASSERT_THAT(state_.ApplyAddresses(remote), IsOk());
  absl::BitGen random;
  const auto chosen = [&] {
    return state_.snapshot()
        ->routes->Resolve(*SocketAddress::Parse("10.96.0.1:80"), random)
        .workload;
  };
  EXPECT_EQ(chosen(), "u");
  // The pod's addresses change: seen with the next snapshot, whatever that brings.
  addresses_ = absl::flat_hash_set<IpAddress>{*IpAddress::Parse("10.0.0.2")};
  ASSERT_THAT(state_.ApplyPolicies(link::v1::PolicyUpdate()), IsOk());
  EXPECT_EQ(chosen(), "v");
}

TEST_F(MeshStateTest, AnIdentityThatCannotBeUsedLeavesTheLastGoodOneInForce) {
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  const MeshSnapshotPtr good = state_.snapshot();
  const TestCa stranger("cluster.local", loop_.WallNow());

  const TestIdentity next = ca_.IssueSvid("/ns/demo/sa/server");
  link::v1::IdentityUpdate wrong_root = ToUpdate(next, stranger);
  link::v1::IdentityUpdate garbage = ToUpdate(next, ca_);
  garbage.set_certificate_chain(0, "not a certificate");
  link::v1::IdentityUpdate nothing;
  link::v1::IdentityUpdate no_roots = ToUpdate(next, ca_);
  no_roots.clear_bundles();
  link::v1::IdentityUpdate two_bundles = ToUpdate(next, ca_);
  *two_bundles.add_bundles() = two_bundles.bundles(0);
  CertificateSpec expired = ca_.SvidSpec("/ns/demo/sa/server");
  expired.not_after = loop_.WallNow() - absl::Seconds(1);
  expired.not_before = loop_.WallNow() - absl::Minutes(1);
  for (const link::v1::IdentityUpdate& bad :
       {wrong_root, garbage, nothing, no_roots, two_bundles, ToUpdate(ca_.Issue(expired), ca_)}) {
    EXPECT_FALSE(state_.ApplyIdentity(bad).ok());
  }
  EXPECT_EQ(state_.snapshot(), good);
  EXPECT_THAT(published_, SizeIs(1));
  EXPECT_EQ(metrics_.identity_rejected->value(), 6u);

  ASSERT_THAT(state_.ApplyIdentity(ToUpdate(next, ca_)), IsOk());
  EXPECT_EQ(state_.snapshot()->identity->identity->generation(), 2u);
}

TEST_F(MeshStateTest, TakesRevocationListsWithTheBundleEvenOnesThatNameItself) {
  const TestIdentity identity = ca_.IssueSvid("/ns/demo/sa/server");
  ASSERT_THAT(state_.ApplyIdentity(ToUpdate(identity, ca_)), IsOk());
  EXPECT_EQ(metrics_.crl_next_update->value(), 0);
  const RevocationListPtr list =
      MakeCrl(*ca_.root(), ca_.key(), loop_.WallNow(), {identity.chain[0]});
  link::v1::IdentityUpdate update = ToUpdate(identity, ca_);
  update.mutable_bundles(0)->add_crls(list->der());
  ASSERT_THAT(state_.ApplyIdentity(update), IsOk());
  const TrustBundleSet& bundles = state_.snapshot()->identity->identity->bundles();
  ASSERT_THAT(bundles.Find("cluster.local")->crls, SizeIs(1));
  EXPECT_EQ(bundles.Find("cluster.local")->crls[0]->der(), list->der());
  EXPECT_EQ(metrics_.crl_this_update->value(), absl::ToUnixSeconds(list->this_update()));
  EXPECT_EQ(metrics_.crl_next_update->value(), absl::ToUnixSeconds(list->next_update()));
  update.mutable_bundles(0)->add_crls("garbage");
  EXPECT_FALSE(state_.ApplyIdentity(update).ok());
  EXPECT_EQ(&state_.snapshot()->identity->identity->bundles(), &bundles);
}

TEST_F(MeshStateTest, RefusesToBecomeAnotherWorkload) {
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  EXPECT_THAT(state_.ApplyIdentity(Identity("/ns/demo/sa/other")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sa/other")));
  EXPECT_THAT(published_, SizeIs(1));
}

TEST_F(MeshStateTest, WhatIsKnownAlreadyMakesNoSnapshotWhateverTheAgentsCounters) {
  link::v1::IdentityUpdate identity = Identity();
  link::v1::PolicyUpdate policies = Policies(istio::security::DENY);
  ASSERT_THAT(state_.ApplyIdentity(identity), IsOk());
  ASSERT_THAT(state_.ApplyPolicies(policies), IsOk());
  identity.set_generation(17);
  policies.set_epoch(17);
  EXPECT_THAT(state_.ApplyIdentity(identity), IsOk());
  EXPECT_THAT(state_.ApplyPolicies(policies), IsOk());
  EXPECT_THAT(published_, SizeIs(2));
}

TEST_F(MeshStateTest, PoliciesThatAreNotUnderstoodLeaveTheLastGoodOnesInForce) {
  ASSERT_THAT(state_.ApplyPolicies(Policies(istio::security::DENY)), IsOk());
  const MeshSnapshotPtr good = state_.snapshot();
  EXPECT_THAT(state_.ApplyPolicies(Policies(static_cast<istio::security::Action>(99))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("demo/p")));
  EXPECT_EQ(state_.snapshot(), good);
  EXPECT_EQ(metrics_.policy_rejected->value(), 1u);
}

TEST_F(MeshStateTest, AResourceThatIsNotUnderstoodCostsNoOther) {
  link::v1::AddressUpdate update = Workload("");
  update.add_upserts()->mutable_workload()->set_uid("no-addresses-of-a-known-length");
  update.mutable_upserts(1)->mutable_workload()->add_addresses("abc");
  ASSERT_THAT(state_.ApplyAddresses(update), IsOk());
  EXPECT_NE(state_.snapshot()->routes->FindWorkload(*IpAddress::Parse("10.0.0.1")), nullptr);
  EXPECT_EQ(metrics_.address_rejected->value(), 1u);
}

TEST_F(MeshStateTest, AsksForRecheckingWhenPoliciesOrTheirSelectionChange) {
  ASSERT_THAT(state_.ApplyAddresses(Workload("")), IsOk());
  const uint64_t before = state_.snapshot()->policy_version;
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  EXPECT_EQ(state_.snapshot()->policy_version, before);
  ASSERT_THAT(state_.ApplyAddresses(Workload("demo/p")), IsOk());
  EXPECT_GT(state_.snapshot()->policy_version, before);
  const uint64_t selected = state_.snapshot()->policy_version;
  ASSERT_THAT(state_.ApplyPolicies(Policies(istio::security::DENY)), IsOk());
  EXPECT_GT(state_.snapshot()->policy_version, selected);
}

TEST_F(MeshStateTest, AnEditForOthersLeavesThisPodsTunnelsAlone) {
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  ASSERT_THAT(state_.ApplyPolicies(Policies(istio::security::DENY)), IsOk());
  const uint64_t own = state_.snapshot()->own_policy_epoch;
  const uint64_t all = state_.snapshot()->policies->epoch();
  link::v1::PolicyUpdate update = Policies(istio::security::DENY);
  *update.add_policies() = update.policies(0);
  update.mutable_policies(1)->set_namespace_("elsewhere");
  ASSERT_THAT(state_.ApplyPolicies(update), IsOk());
  EXPECT_GT(state_.snapshot()->policies->epoch(), all);
  EXPECT_EQ(state_.snapshot()->own_policy_epoch, own);
  update.mutable_policies(1)->set_scope(istio::security::GLOBAL);
  ASSERT_THAT(state_.ApplyPolicies(update), IsOk());
  EXPECT_GT(state_.snapshot()->own_policy_epoch, own);
  update.mutable_policies(0)->set_action(istio::security::ALLOW);
  ASSERT_THAT(state_.ApplyPolicies(update), IsOk());
  EXPECT_EQ(state_.snapshot()->own_policy_epoch, own + 2);
}

TEST_F(MeshStateTest, KeepsThePodsAddressesWhenTheKernelDoesNotSay) {
  ASSERT_THAT(state_.ApplyPolicies(link::v1::PolicyUpdate()), IsOk());
  addresses_ = absl::UnavailableError("no netlink");
  ASSERT_THAT(state_.ApplyIdentity(Identity()), IsOk());
  EXPECT_THAT(*state_.snapshot()->own_addresses, ElementsAre(*IpAddress::Parse("10.0.0.1")));
}

}  // namespace
}  // namespace byrnie
