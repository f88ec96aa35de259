#include "certagent/discovery_cache.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::istio::workload::Address;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

Address Workload(absl::string_view uid, absl::string_view ip) {
  Address address;
  address.mutable_workload()->set_uid(std::string(uid));
  address.mutable_workload()->add_addresses(Ip(ip).ToBytes());
  return address;
}

Address Service(absl::string_view hostname, absl::string_view ip) {
  Address address;
  address.mutable_service()->set_namespace_("demo");
  address.mutable_service()->set_hostname(std::string(hostname));
  address.mutable_service()->add_addresses()->set_address(Ip(ip).ToBytes());
  return address;
}

void AddResource(DiscoveryCache::Response* response, absl::string_view name,
                 const google::protobuf::MessageLite& message, absl::string_view version = "1") {
  auto* resource = response->add_resources();
  resource->set_name(std::string(name));
  resource->set_version(std::string(version));
  resource->mutable_resource()->set_type_url(response->type_url());
  resource->mutable_resource()->set_value(message.SerializeAsString());
}

DiscoveryCache::Response Addresses(absl::string_view nonce = "n1") {
  DiscoveryCache::Response response;
  response.set_type_url(DiscoveryCache::kAddressType);
  response.set_nonce(std::string(nonce));
  return response;
}

DiscoveryCache::Response Policies(const std::vector<std::string>& names) {
  DiscoveryCache::Response response;
  response.set_type_url(DiscoveryCache::kAuthorizationType);
  response.set_nonce("p1");
  for (const std::string& name : names) {
    istio::security::Authorization policy;
    policy.set_namespace_("demo");
    policy.set_name(name);
    AddResource(&response, absl::StrCat("demo/", name), policy);
  }
  return response;
}

class DiscoveryCacheTest : public ::testing::Test {
 protected:
  DiscoveryCache cache_{"node", "", {Ip("10.77.0.2"), Ip("fd77::2")}};
};

TEST_F(DiscoveryCacheTest, OpensOnDemandForAddressesAndWithAWildcardForPolicies) {
  std::vector<DiscoveryCache::Request> requests = cache_.OpenStream();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].type_url(), DiscoveryCache::kAddressType);
  EXPECT_EQ(requests[0].node().id(), "node");
  EXPECT_THAT(requests[0].resource_names_subscribe(), ElementsAre("*", "/10.77.0.2", "/fd77::2"));
  EXPECT_THAT(requests[0].resource_names_unsubscribe(), ElementsAre("*"));
  EXPECT_EQ(requests[1].type_url(), DiscoveryCache::kAuthorizationType);
  EXPECT_THAT(requests[1].resource_names_subscribe(), ElementsAre("*"));
  EXPECT_THAT(requests[1].resource_names_unsubscribe(), IsEmpty());
}

TEST_F(DiscoveryCacheTest, FindsWorkloadsAndServicesByAddress) {
  EXPECT_EQ(cache_.Lookup(Ip("10.96.0.10")), DiscoveryCache::Answer::kUnknown);
  auto request = cache_.Subscribe(Ip("10.96.0.10"));
  ASSERT_TRUE(request.has_value());
  EXPECT_THAT(request->resource_names_subscribe(), ElementsAre("/10.96.0.10"));
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "demo/server", Service("server", "10.96.0.10"));
  AddResource(&response, "pod/b", Workload("pod/b", "10.77.0.3"));
  DiscoveryCache::Outcome outcome = cache_.OnResponse(response);
  EXPECT_EQ(outcome.rejected, "");
  EXPECT_EQ(outcome.reply.response_nonce(), "n1");
  EXPECT_FALSE(outcome.reply.has_error_detail());
  EXPECT_THAT(outcome.upserts, SizeIs(2));
  EXPECT_EQ(cache_.Lookup(Ip("10.96.0.10")), DiscoveryCache::Answer::kFound);
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, AsksInItsNetworkAndFindsThere) {
  DiscoveryCache cache("node", "net", {Ip("10.77.0.2")});
  EXPECT_THAT(cache.OpenStream()[0].resource_names_subscribe(), ElementsAre("*", "net/10.77.0.2"));
  EXPECT_THAT(cache.Subscribe(Ip("10.77.0.3"))->resource_names_subscribe(),
              ElementsAre("net/10.77.0.3"));
  DiscoveryCache::Response response = Addresses();
  Address elsewhere = Workload("pod/other-net", "10.77.0.3");
  AddResource(&response, "pod/other-net", elsewhere);
  cache.OnResponse(response);
  EXPECT_EQ(cache.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kUnknown);
  elsewhere.mutable_workload()->set_uid("pod/here");
  elsewhere.mutable_workload()->set_network("net");
  AddResource(&response, "pod/here", elsewhere);
  cache.OnResponse(response);
  EXPECT_EQ(cache.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, SaysWhichAddressesAResponseIsAbout) {
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "pod/b", Workload("pod/b", "10.77.0.3"));
  response.add_removed_resources("/1.2.3.4");
  EXPECT_THAT(cache_.OnResponse(response).answered, UnorderedElementsAre("/10.77.0.3", "/1.2.3.4"));
}

TEST_F(DiscoveryCacheTest, LearnsThatAnAddressIsNotInTheMeshAndThatItCame) {
  cache_.Subscribe(Ip("1.2.3.4"));
  DiscoveryCache::Response absent = Addresses();
  absent.add_removed_resources("/1.2.3.4");
  EXPECT_THAT(cache_.OnResponse(absent).removals, IsEmpty());
  EXPECT_EQ(cache_.Lookup(Ip("1.2.3.4")), DiscoveryCache::Answer::kNotFound);
  DiscoveryCache::Response present = Addresses();
  AddResource(&present, "pod/n", Workload("pod/n", "1.2.3.4"));
  cache_.OnResponse(present);
  EXPECT_EQ(cache_.Lookup(Ip("1.2.3.4")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, DoesNotBelieveInAbsenceItNeverAskedAbout) {
  DiscoveryCache::Response response = Addresses();
  response.add_removed_resources("/9.9.9.9");
  cache_.OnResponse(response);
  EXPECT_EQ(cache_.Lookup(Ip("9.9.9.9")), DiscoveryCache::Answer::kUnknown);
}

TEST_F(DiscoveryCacheTest, ForgetsRemovedResources) {
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "pod/b", Workload("pod/b", "10.77.0.3"));
  cache_.OnResponse(response);
  DiscoveryCache::Response removal = Addresses();
  removal.add_removed_resources("pod/b");
  EXPECT_THAT(cache_.OnResponse(removal).removals, ElementsAre("pod/b"));
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kUnknown);
  EXPECT_THAT(cache_.Addresses(), IsEmpty());
}

TEST_F(DiscoveryCacheTest, FollowsAnAddressThatMovesToAnotherWorkload) {
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "pod/old", Workload("pod/old", "10.77.0.3"));
  cache_.OnResponse(response);
  DiscoveryCache::Response moved = Addresses();
  AddResource(&moved, "pod/new", Workload("pod/new", "10.77.0.3"));
  moved.add_removed_resources("pod/old");
  cache_.OnResponse(moved);
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, DropsTheAddressesAWorkloadNoLongerHas) {
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "pod/b", Workload("pod/b", "10.77.0.3"));
  cache_.OnResponse(response);
  DiscoveryCache::Response changed = Addresses();
  AddResource(&changed, "pod/b", Workload("pod/b", "10.77.0.4"), "2");
  cache_.OnResponse(changed);
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kUnknown);
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.4")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, RejectsWhatDoesNotParseAndKeepsTheLastGoodOne) {
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "pod/b", Workload("pod/b", "10.77.0.3"));
  cache_.OnResponse(response);

  DiscoveryCache::Response bad = Addresses("n2");
  auto* resource = bad.add_resources();
  resource->set_name("pod/b");
  resource->mutable_resource()->set_type_url(DiscoveryCache::kAddressType);
  resource->mutable_resource()->set_value("\xff\xff\xff");
  AddResource(&bad, "no-type", Address());
  Address short_ip;
  short_ip.mutable_workload()->set_uid("pod/c");
  short_ip.mutable_workload()->add_addresses("abc");
  AddResource(&bad, "pod/c", short_ip);
  AddResource(&bad, "pod/d", Workload("pod/d", "10.77.0.5"));
  DiscoveryCache::Outcome outcome = cache_.OnResponse(bad);
  EXPECT_EQ(outcome.reply.response_nonce(), "n2");
  EXPECT_EQ(outcome.reply.error_detail().code(), 3);
  EXPECT_THAT(outcome.reply.error_detail().message(), HasSubstr("pod/b"));
  EXPECT_THAT(outcome.reply.error_detail().message(), HasSubstr("pod/c"));
  EXPECT_THAT(outcome.upserts, SizeIs(1));
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.3")), DiscoveryCache::Answer::kFound);
  EXPECT_EQ(cache_.Lookup(Ip("10.77.0.5")), DiscoveryCache::Answer::kFound);
}

TEST_F(DiscoveryCacheTest, RejectsAnUnknownType) {
  DiscoveryCache::Response response;
  response.set_type_url("type.googleapis.com/other");
  EXPECT_TRUE(cache_.OnResponse(response).reply.has_error_detail());
}

TEST_F(DiscoveryCacheTest, KnowsThePoliciesAfterTheFirstResponseEvenWithoutAny) {
  EXPECT_FALSE(cache_.policies_known());
  EXPECT_TRUE(cache_.OnResponse(Policies({})).policies_changed);
  EXPECT_TRUE(cache_.policies_known());
  EXPECT_FALSE(cache_.OnResponse(Policies({})).policies_changed);
}

TEST_F(DiscoveryCacheTest, AddsAndRemovesPolicies) {
  cache_.OnResponse(Policies({"a", "b"}));
  EXPECT_THAT(cache_.Policies(), SizeIs(2));
  DiscoveryCache::Response removal = Policies({});
  removal.add_removed_resources("demo/a");
  EXPECT_TRUE(cache_.OnResponse(removal).policies_changed);
  ASSERT_THAT(cache_.Policies(), SizeIs(1));
  EXPECT_EQ(cache_.Policies()[0]->name(), "b");
}

TEST_F(DiscoveryCacheTest, AppliesNothingOfAPolicySetThatIsPartlyBroken) {
  cache_.OnResponse(Policies({"a"}));
  DiscoveryCache::Response bad = Policies({"b", ""});
  bad.add_removed_resources("demo/a");
  DiscoveryCache::Outcome outcome = cache_.OnResponse(bad);
  EXPECT_TRUE(outcome.reply.has_error_detail());
  EXPECT_FALSE(outcome.policies_changed);
  ASSERT_THAT(cache_.Policies(), SizeIs(1));
  EXPECT_EQ(cache_.Policies()[0]->name(), "a");
}

TEST_F(DiscoveryCacheTest, IsNotReadyWhenTheFirstPolicySetIsBroken) {
  cache_.OnResponse(Policies({""}));
  EXPECT_FALSE(cache_.policies_known());
}

TEST_F(DiscoveryCacheTest, AsksOnlyForDifferencesOnTheNextStream) {
  cache_.Subscribe(Ip("10.96.0.10"));
  DiscoveryCache::Response response = Addresses();
  AddResource(&response, "demo/server", Service("server", "10.96.0.10"), "v7");
  cache_.OnResponse(response);
  cache_.OnResponse(Policies({"a"}));
  std::vector<DiscoveryCache::Request> requests = cache_.OpenStream();
  EXPECT_THAT(requests[0].resource_names_subscribe(),
              UnorderedElementsAre("*", "/10.77.0.2", "/fd77::2", "/10.96.0.10"));
  EXPECT_THAT(requests[0].initial_resource_versions(),
              UnorderedElementsAre(Pair("demo/server", "v7")));
  EXPECT_THAT(requests[1].initial_resource_versions(), UnorderedElementsAre(Pair("demo/a", "1")));
}

TEST_F(DiscoveryCacheTest, ForgetsTheOldestAbsentAddressesWhenThereAreTooMany) {
  DiscoveryCache::Response absent = Addresses();
  for (uint32_t i = 0; i + 2 < DiscoveryCache::kMaxSubscriptions; ++i) {
    const std::string ip = absl::StrCat("11.", i >> 16, ".", i >> 8 & 255, ".", i & 255);
    ASSERT_TRUE(cache_.Subscribe(Ip(ip)).has_value());
    if (i < 3) absent.add_removed_resources(absl::StrCat("/", ip));
  }
  // Nothing may be forgotten while its answer is awaited.
  EXPECT_FALSE(cache_.Subscribe(Ip("12.0.0.0")).has_value());
  cache_.OnResponse(absent);
  auto request = cache_.Subscribe(Ip("12.0.0.1"));
  ASSERT_TRUE(request.has_value());
  EXPECT_THAT(request->resource_names_unsubscribe(), ElementsAre("/11.0.0.0"));
  EXPECT_EQ(cache_.subscription_count(), DiscoveryCache::kMaxSubscriptions);
}

// The control plane parses what it is sent, and proto3 takes no other text than UTF-8.
TEST_F(DiscoveryCacheTest, RejectsWithoutCuttingCharactersInTwo) {
  const std::string character = "\xc3\xa9";
  DiscoveryCache::Response unknown;
  unknown.set_type_url(std::string(127, 'x') + character);
  DiscoveryCache::Response broken = Addresses();
  broken.add_resources()->set_name(std::string(255, 'x') + character);
  broken.mutable_resources(0)->mutable_resource()->set_type_url(std::string(127, 'y') + character);
  for (const DiscoveryCache::Response& response : {unknown, broken}) {
    const DiscoveryCache::Outcome outcome = cache_.OnResponse(response);
    EXPECT_THAT(outcome.rejected, ::testing::Not(IsEmpty()));
    DiscoveryCache::Request received;
    EXPECT_TRUE(received.ParseFromString(outcome.reply.SerializeAsString())) << outcome.rejected;
  }
}

}  // namespace
}  // namespace byrnie
