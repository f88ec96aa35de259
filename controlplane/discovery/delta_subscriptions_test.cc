#include "controlplane/discovery/delta_subscriptions.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "controlplane/discovery/held_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Request = DeltaSubscriptions::Request;
using Response = DeltaSubscriptions::Response;

const char kService[] = "demo/server.demo";

std::string Ip(uint8_t last) { return std::string({'\x0a', 0, 0, static_cast<char>(last)}); }

istio::workload::Workload Workload(const std::string& name, uint8_t ip, bool endpoint) {
  istio::workload::Workload workload;
  workload.set_uid(name);
  workload.set_name(name);
  workload.set_namespace_("demo");
  workload.set_service_account("app");
  workload.set_trust_domain("cluster.local");
  workload.add_addresses(Ip(ip));
  if (endpoint) (*workload.mutable_services())[kService].add_ports()->set_service_port(80);
  return workload;
}

RegistryContent Content() {
  RegistryContent content;
  istio::workload::Service service;
  service.set_name("server");
  service.set_namespace_("demo");
  service.set_hostname("server.demo");
  service.add_addresses()->set_address(Ip(100));
  service.add_ports()->set_service_port(80);
  content.services.push_back(service);
  content.workloads = {Workload("client", 1, false), Workload("s1", 2, true),
                       Workload("s2", 3, true)};
  return content;
}

RegistrySnapshotPtr Snapshot(const RegistryContent& content) {
  auto snapshot = RegistrySnapshot::Create(content);
  EXPECT_THAT(snapshot, IsOk());
  return *snapshot;
}

Request Subscribe(const std::vector<std::string>& names,
                  const std::vector<std::string>& unsubscribe = {}) {
  Request request;
  request.set_type_url("type.googleapis.com/istio.workload.Address");
  for (const std::string& name : names) request.add_resource_names_subscribe(name);
  for (const std::string& name : unsubscribe) request.add_resource_names_unsubscribe(name);
  return request;
}

std::vector<std::string> Names(const absl::optional<Response>& response) {
  std::vector<std::string> names;
  if (!response.has_value()) return {"no response"};
  for (const auto& resource : response->resources()) names.push_back(resource.name());
  return names;
}

std::vector<std::string> Removed(const absl::optional<Response>& response) {
  if (!response.has_value()) return {"no response"};
  return {response->removed_resources().begin(), response->removed_resources().end()};
}

class DeltaSubscriptionsTest : public ::testing::Test {
 protected:
  void Send(const Request& request) { ASSERT_THAT(subscriptions_.OnRequest(request), IsOk()); }
  absl::optional<Response> Next() { return subscriptions_.Next(snapshot_); }
  void TakeAll() {
    while (Next().has_value()) {
    }
  }
  void Change(const RegistryContent& content) { snapshot_ = Snapshot(content); }

  RegistrySnapshotPtr snapshot_ = Snapshot(Content());
  DeltaSubscriptions subscriptions_;
};

TEST_F(DeltaSubscriptionsTest, SaysNothingUnasked) {
  EXPECT_FALSE(Next().has_value());
  Change({});
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, SendsEverythingToALegacyWildcard) {
  Send(Subscribe({}));
  EXPECT_THAT(Names(Next()), UnorderedElementsAre("client", "s1", "s2", kService));
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, AnswersTheFirstRequestEvenWithNothing) {
  Send(Subscribe({"*"}, {"*"}));
  auto response = Next();
  EXPECT_THAT(Names(response), IsEmpty());
  EXPECT_EQ(response->type_url(), "type.googleapis.com/istio.workload.Address");
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, AnEmptyWildcardOfPoliciesIsAnsweredAndLaterPushed) {
  Request request;
  request.set_type_url("type.googleapis.com/istio.security.Authorization");
  Send(request);
  EXPECT_THAT(Names(Next()), IsEmpty());
  RegistryContent content = Content();
  istio::security::Authorization policy;
  policy.set_name("p");
  policy.set_namespace_("demo");
  content.policies.push_back(policy);
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("demo/p"));
}

TEST_F(DeltaSubscriptionsTest, FindsAWorkloadByItsAddress) {
  Send(Subscribe({"*", "/10.0.0.1"}, {"*"}));
  auto response = Next();
  ASSERT_THAT(Names(response), ElementsAre("client"));
  EXPECT_THAT(response->resources(0).aliases(), ElementsAre("/10.0.0.1"));
  EXPECT_THAT(Removed(response), IsEmpty());
}

TEST_F(DeltaSubscriptionsTest, AServiceComesWithItsWorkloads) {
  Send(Subscribe({"/10.0.0.100"}));
  EXPECT_THAT(Names(Next()), UnorderedElementsAre(kService, "s1", "s2"));
}

TEST_F(DeltaSubscriptionsTest, AnUnknownAddressIsAnsweredAsRemovedOnceAndFoundLater) {
  Send(Subscribe({"/10.0.0.9"}));
  EXPECT_THAT(Removed(Next()), ElementsAre("/10.0.0.9"));
  RegistryContent content = Content();
  Change(content);
  EXPECT_FALSE(Next().has_value());
  content.workloads.push_back(Workload("late", 9, false));
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("late"));
}

TEST_F(DeltaSubscriptionsTest, PushesANewEndpointOfAService) {
  Send(Subscribe({"/10.0.0.100"}));
  Next();
  RegistryContent content = Content();
  content.workloads.push_back(Workload("s3", 4, true));
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("s3"));
}

TEST_F(DeltaSubscriptionsTest, AnEndpointThatLeavesItsServiceIsSentAsItNowIs) {
  Send(Subscribe({"/10.0.0.100"}));
  Next();
  RegistryContent content = Content();
  content.workloads[2] = Workload("s2", 3, false);
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("s2"));
}

TEST_F(DeltaSubscriptionsTest, SaysWhatIsGone) {
  Send(Subscribe({"/10.0.0.1"}));
  Next();
  RegistryContent content = Content();
  content.workloads.erase(content.workloads.begin());
  Change(content);
  EXPECT_THAT(Removed(Next()), UnorderedElementsAre("/10.0.0.1", "client"));
}

TEST_F(DeltaSubscriptionsTest, FollowsAnAddressToItsNextOwner) {
  Send(Subscribe({"/10.0.0.1"}));
  Next();
  RegistryContent content = Content();
  content.workloads[0] = Workload("successor", 1, false);
  Change(content);
  auto response = Next();
  EXPECT_THAT(Names(response), ElementsAre("successor"));
  EXPECT_THAT(Removed(response), ElementsAre("client"));
}

TEST_F(DeltaSubscriptionsTest, AskingAgainGetsTheResourceAgain) {
  Send(Subscribe({"/10.0.0.1"}));
  Next();
  Send(Subscribe({"/10.0.0.1", "/10.0.0.9"}));
  auto response = Next();
  EXPECT_THAT(Names(response), ElementsAre("client"));
  EXPECT_THAT(Removed(response), ElementsAre("/10.0.0.9"));
}

TEST_F(DeltaSubscriptionsTest, SendsNothingMoreAfterUnsubscribing) {
  Send(Subscribe({"/10.0.0.1", "/10.0.0.2"}));
  Next();
  Send(Subscribe({}, {"/10.0.0.1"}));
  EXPECT_FALSE(Next().has_value());
  RegistryContent content = Content();
  content.workloads[0].set_node("moved");
  Change(content);
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, SendsOnlyWhatDiffersFromInitialVersions) {
  Request request = Subscribe({"/10.0.0.1", "/10.0.0.2"});
  (*request.mutable_initial_resource_versions())["client"] =
      snapshot_->Find(ResourceType::kAddress, "client")->version;
  (*request.mutable_initial_resource_versions())["s1"] = "older";
  (*request.mutable_initial_resource_versions())["gone"] = "older";
  Send(request);
  auto response = Next();
  EXPECT_THAT(Names(response), ElementsAre("s1"));
  EXPECT_THAT(Removed(response), ElementsAre("gone"));
}

TEST_F(DeltaSubscriptionsTest, ManyChangesBetweenTwoWritesBecomeOne) {
  Send(Subscribe({}));
  Next();
  RegistryContent content = Content();
  for (int i = 0; i < 50; ++i) {
    content.workloads[0].set_node(absl::StrCat("n", i));
    Change(content);
  }
  auto response = Next();
  ASSERT_THAT(Names(response), ElementsAre("client"));
  EXPECT_EQ(response->resources(0).version(),
            snapshot_->Find(ResourceType::kAddress, "client")->version);
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, SplitsWhatIsTooMuchForOneMessage) {
  RegistryContent content;
  for (int i = 0; i < 200; ++i) {
    content.workloads.push_back(Workload(absl::StrCat("w", i), static_cast<uint8_t>(i + 1), false));
    content.workloads.back().set_node(std::string(8000, 'n'));
  }
  Change(content);
  Send(Subscribe({}));
  std::multiset<std::string> names;
  int messages = 0;
  while (auto response = Next()) {
    ++messages;
    EXPECT_LT(response->ByteSizeLong(), 2 * DeltaSubscriptions::kResponseBytes);
    for (const auto& resource : response->resources()) names.insert(resource.name());
  }
  EXPECT_GT(messages, 2);
  EXPECT_EQ(names.size(), 200u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 200u);
}

// Many workloads, more than go into one message.
RegistryContent Crowd(int count, bool endpoints) {
  RegistryContent content;
  if (endpoints) content.services = Content().services;
  for (int i = 0; i < count; ++i) {
    content.workloads.push_back(
        Workload(absl::StrCat("w", 1000 + i), static_cast<uint8_t>(i + 1), endpoints));
    content.workloads.back().set_node(std::string(4000, 'n'));
  }
  return content;
}

TEST_F(DeltaSubscriptionsTest, OneThatWantedEverythingAndComesAgainGetsTheDifferenceAlone) {
  Request request = Subscribe({"*"});
  auto& versions = *request.mutable_initial_resource_versions();
  for (const char* name : {"client", "s1", kService}) {
    versions[name] = snapshot_->Find(ResourceType::kAddress, name)->version;
  }
  versions["s1"] = "older";
  versions["gone"] = "older";
  Send(request);
  auto response = Next();
  EXPECT_THAT(Names(response), UnorderedElementsAre("s1", "s2"));
  EXPECT_THAT(Removed(response), ElementsAre("gone"));
  EXPECT_FALSE(Next().has_value());
  // From here on it is as if it had never been away.
  RegistryContent content = Content();
  content.workloads.pop_back();
  Change(content);
  response = Next();
  EXPECT_THAT(Names(response), IsEmpty());
  EXPECT_THAT(Removed(response), ElementsAre("s2"));
}

TEST_F(DeltaSubscriptionsTest, AnUpToDateClientThatComesAgainIsToldSo) {
  Request request = Subscribe({});
  auto& versions = *request.mutable_initial_resource_versions();
  for (const auto& entry : snapshot_->resources(ResourceType::kAddress)) {
    versions[entry.first] = entry.second.version;
  }
  Send(request);
  auto response = Next();
  EXPECT_THAT(Names(response), IsEmpty());
  EXPECT_THAT(Removed(response), IsEmpty());
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, WhatChangesWhileEverythingIsSentComesToo) {
  RegistryContent content = Crowd(90, false);
  Change(content);
  Send(Subscribe({"*"}));
  std::set<std::string> has;
  std::map<std::string, std::string> versions;
  int changes = 0;
  while (auto response = Next()) {
    for (const auto& resource : response->resources()) {
      has.insert(resource.name());
      versions[resource.name()] = resource.version();
    }
    for (const std::string& name : response->removed_resources()) has.erase(name);
    if (++changes > 3) continue;
    // Of what was sent, of what was not, and both ways.
    content.workloads[0].set_node(absl::StrCat("early", changes));
    content.workloads.back().set_node(absl::StrCat("late", changes));
    content.workloads.erase(content.workloads.begin() + 1);
    content.workloads.erase(content.workloads.end() - 2);
    content.workloads.push_back(
        Workload(absl::StrCat("x", changes), static_cast<uint8_t>(200 + changes), false));
    Change(content);
  }
  EXPECT_EQ(has.size(), content.workloads.size());
  for (const auto& entry : snapshot_->resources(ResourceType::kAddress)) {
    EXPECT_EQ(versions[entry.first], entry.second.version) << entry.first;
  }
}

TEST_F(DeltaSubscriptionsTest, AWildcardThatGoesLeavesWhatIsNamed) {
  Send(Subscribe({"*"}));
  Next();
  Send(Subscribe({"/10.0.0.1"}));
  // Asked for, so that it comes although the client has it.
  EXPECT_THAT(Names(Next()), ElementsAre("client"));
  Send(Subscribe({}, {"*"}));
  EXPECT_FALSE(Next().has_value());
  RegistryContent content = Content();
  for (auto& workload : content.workloads) workload.set_node("moved");
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("client"));
  Send(Subscribe({"*"}));
  EXPECT_THAT(Names(Next()), UnorderedElementsAre("s1", "s2", kService));
}

TEST_F(DeltaSubscriptionsTest, AWildcardThatGoesAmidstItAllForgetsNothing) {
  Change(Crowd(90, false));
  Send(Subscribe({"*", "w1000", "w1089"}));
  ASSERT_TRUE(Next().has_value());
  Send(Subscribe({}, {"*"}));
  EXPECT_THAT(Names(Next()), ElementsAre("w1089"));
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, AServiceComesWhenItsWorkloadsHave) {
  Change(Crowd(90, true));
  Send(Subscribe({"/10.0.0.100"}));
  std::vector<std::string> names;
  while (auto response = Next()) {
    EXPECT_LT(response->ByteSizeLong(), 2 * DeltaSubscriptions::kResponseBytes);
    for (const auto& resource : response->resources()) names.push_back(resource.name());
  }
  EXPECT_EQ(names.size(), 91u);
  EXPECT_EQ(names.back(), kService);
}

TEST_F(DeltaSubscriptionsTest, AServiceAtANewAddressBringsItsWorkloads) {
  Send(Subscribe({"/10.0.0.101"}));
  EXPECT_THAT(Removed(Next()), ElementsAre("/10.0.0.101"));
  RegistryContent content = Content();
  content.services[0].mutable_addresses(0)->set_address(Ip(101));
  Change(content);
  EXPECT_THAT(Names(Next()), UnorderedElementsAre(kService, "s1", "s2"));
}

TEST_F(DeltaSubscriptionsTest, SaysItWaitsForAnAcknowledgement) {
  Send(Subscribe({}));
  RegistryContent content = Content();
  std::string last;
  for (int i = 0; i < 100; ++i) {
    content.workloads[0].set_node(absl::StrCat("n", i));
    Change(content);
    if (auto response = Next()) last = response->nonce();
  }
  EXPECT_TRUE(subscriptions_.awaits_acknowledgement());
  Request ack = Subscribe({});
  ack.set_response_nonce(last);
  Send(ack);
  EXPECT_FALSE(subscriptions_.awaits_acknowledgement());
}

TEST_F(DeltaSubscriptionsTest, ARejectedResponseIsNotSentAgainUntilSomethingChanges) {
  Send(Subscribe({"/10.0.0.1"}));
  Request rejection = Subscribe({});
  rejection.set_response_nonce(Next()->nonce());
  rejection.mutable_error_detail()->set_message("no");
  Send(rejection);
  EXPECT_FALSE(Next().has_value());
  RegistryContent content = Content();
  content.workloads[0].set_node("moved");
  Change(content);
  EXPECT_THAT(Names(Next()), ElementsAre("client"));
}

TEST_F(DeltaSubscriptionsTest, ReportsARejectionOnce) {
  Send(Subscribe({}));
  auto response = Next();
  Request nack = Subscribe({});
  nack.set_response_nonce(response->nonce());
  nack.mutable_error_detail()->set_message("no such thing");
  auto feedback = subscriptions_.OnRequest(nack);
  ASSERT_TRUE(feedback.ok() && feedback->has_value());
  EXPECT_TRUE((*feedback)->rejected);
  EXPECT_EQ((*feedback)->error, "no such thing");
  auto repeated = subscriptions_.OnRequest(nack);
  ASSERT_THAT(repeated, IsOk());
  EXPECT_FALSE(repeated->has_value());
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaSubscriptionsTest, AStaleNonceStillSubscribes) {
  Send(Subscribe({"/10.0.0.1"}));
  Next();
  Request request = Subscribe({"/10.0.0.2"});
  request.set_response_nonce("999");
  Send(request);
  EXPECT_THAT(Names(Next()), ElementsAre("s1"));
}

TEST_F(DeltaSubscriptionsTest, WaitsForAReaderThatDoesNotAcknowledge) {
  Send(Subscribe({}));
  RegistryContent content = Content();
  std::string last;
  size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    content.workloads[0].set_node(absl::StrCat("n", i));
    Change(content);
    if (auto response = Next()) {
      ++sent;
      last = response->nonce();
    }
  }
  EXPECT_EQ(sent, DeltaSubscriptions::kMaxUnacknowledged);
  Request ack = Subscribe({});
  ack.set_response_nonce(last);
  Send(ack);
  EXPECT_THAT(Names(Next()), ElementsAre("client"));
}

TEST_F(DeltaSubscriptionsTest, AnswersTypesNobodyServesWithNothing) {
  Request request;
  request.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  request.add_resource_names_subscribe("c");
  Send(request);
  auto response = Next();
  EXPECT_EQ(response->type_url(), request.type_url());
  EXPECT_THAT(Names(response), IsEmpty());
  EXPECT_THAT(Removed(response), ElementsAre("c"));
}

TEST_F(DeltaSubscriptionsTest, EndsTheStreamOfAClientThatBreaksTheRules) {
  EXPECT_THAT(subscriptions_.OnRequest(Request()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("type_url")));
  EXPECT_THAT(subscriptions_.OnRequest(
                  Subscribe({std::string(DeltaSubscriptions::kMaxNameLength + 1, 'x')})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("resource name")));
  Request many = Subscribe({});
  for (size_t i = 0; i <= DeltaSubscriptions::kMaxNames; ++i) {
    many.add_resource_names_subscribe(absl::StrCat("/", i));
  }
  EXPECT_THAT(subscriptions_.OnRequest(many),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most")));
}

TEST_F(DeltaSubscriptionsTest, BoundsTheBytesOfNamesAlsoBesideAWildcard) {
  std::vector<std::string> names = {"*"};
  for (int i = 0; i < 1000; ++i) names.push_back(absl::StrCat(std::string(1000, 'x'), 1000 + i));
  ASSERT_THAT(subscriptions_.OnRequest(Subscribe(names)), IsOk());
  TakeAll();
  EXPECT_EQ(subscriptions_.held_bytes(), 1000 * (1004 + DeltaSubscriptions::kNameCost));
  // Asking again for what one has costs nothing, and giving up gives back.
  ASSERT_THAT(subscriptions_.OnRequest(Subscribe(names)), IsOk());
  TakeAll();
  EXPECT_EQ(subscriptions_.held_bytes(), 1000 * (1004 + DeltaSubscriptions::kNameCost));
  ASSERT_THAT(subscriptions_.OnRequest(Subscribe({}, names)), IsOk());
  TakeAll();
  EXPECT_EQ(subscriptions_.held_bytes(), 0u);
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    std::vector<std::string> more = {"*"};
    for (size_t j = 1; j < names.size(); ++j) {
      more.push_back(absl::StrCat(names[j].substr(4), "-", i));
    }
    status = subscriptions_.OnRequest(Subscribe(more)).status();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("bytes of them")));
  EXPECT_LE(subscriptions_.held_bytes(), DeltaSubscriptions::kMaxHeldBytes + 4 * 1024 * 1024);
}

// One name may stand for tens of thousands of workloads.
TEST_F(DeltaSubscriptionsTest, CountsWhatTheClientWasSent) {
  RegistryContent content = Crowd(90, true);
  Change(content);
  Send(Subscribe({kService}));
  TakeAll();
  // The service, too.
  const size_t told =
      std::string(kService).size() + DeltaSubscriptions::kNameCost + 91 * HeldResources::kSentCost;
  EXPECT_EQ(subscriptions_.held_bytes(), told);
  EXPECT_THAT(subscriptions_.CheckHeld(), IsOk());
  // What is still to be sent counts.
  for (auto& workload : content.workloads) workload.set_node(std::string(4000, 'm'));
  Change(content);
  ASSERT_TRUE(Next().has_value());
  EXPECT_GT(subscriptions_.held_bytes(), told);
  TakeAll();
  EXPECT_EQ(subscriptions_.held_bytes(), told);
  Send(Subscribe({}, {kService}));
  TakeAll();
  EXPECT_EQ(subscriptions_.held_bytes(), 0u);
}

TEST_F(DeltaSubscriptionsTest, AClientThatComesAgainHoldsLessOnceItHasBeenCompared) {
  Request request = Subscribe({kService});
  for (const char* name : {"s1", "s2", kService}) {
    (*request.mutable_initial_resource_versions())[name] =
        snapshot_->Find(ResourceType::kAddress, name)->version;
  }
  Send(request);
  EXPECT_GT(subscriptions_.held_bytes(), 3 * HeldResources::kClaimCost);
  EXPECT_THAT(Names(Next()), IsEmpty());
  EXPECT_EQ(
      subscriptions_.held_bytes(),
      std::string(kService).size() + DeltaSubscriptions::kNameCost + 3 * HeldResources::kSentCost);
}

// What stands in for a policy that cannot be read is for agents that have nothing of that name.
TEST_F(DeltaSubscriptionsTest, WhatStandsInIsNotSentToWhoHasTheResourceItself) {
  istio::security::Authorization policy;
  policy.set_name("p");
  policy.set_namespace_("demo");
  policy.set_action(istio::security::DENY);
  RegistryChange change;
  auto stand_in = std::make_shared<Resource>(*MakeResource(RegistrySource::kApi, policy));
  stand_in->stand_in = true;
  change.put = {{stand_in}};
  const RegistrySnapshotPtr with_stand_in = RegistrySnapshot::Empty()->With(change);
  policy.set_action(istio::security::ALLOW);
  change.put = {{MakeResource(RegistrySource::kApi, policy)}};
  const RegistrySnapshotPtr mended = with_stand_in->With(change);
  for (const char* name : {"*", "demo/p"}) {
    for (const bool has : {true, false}) {
      DeltaSubscriptions subscriptions;
      Request request = Subscribe({name});
      request.set_type_url("type.googleapis.com/istio.security.Authorization");
      if (has) (*request.mutable_initial_resource_versions())["demo/p"] = "before";
      ASSERT_THAT(subscriptions.OnRequest(request), IsOk());
      const auto first = subscriptions.Next(with_stand_in);
      EXPECT_EQ(Names(first).size(), has ? 0u : 1u) << name;
      EXPECT_THAT(Removed(first), IsEmpty());
      EXPECT_FALSE(subscriptions.Next(with_stand_in).has_value());
      EXPECT_THAT(Names(subscriptions.Next(mended)), ElementsAre("demo/p")) << name << has;
    }
  }
}

// The policy has been changed where it can be read, and denies more than before.
TEST_F(DeltaSubscriptionsTest, AStandInTakesThePlaceOfAnother) {
  const auto standing_in = [](const char* version) {
    istio::security::Authorization policy;
    policy.set_name("p");
    policy.set_namespace_("demo");
    policy.set_dry_run(true);
    auto stand_in = std::make_shared<Resource>(*MakeResource(RegistrySource::kApi, policy));
    stand_in->stand_in = true;
    stand_in->version = absl::StrCat(kStandInVersionPrefix, version);
    RegistryChange change;
    change.put = {{stand_in}};
    return RegistrySnapshot::Empty()->With(change);
  };
  const RegistrySnapshotPtr first = standing_in("1");
  const RegistrySnapshotPtr second = standing_in("2");
  for (const char* name : {"*", "demo/p"}) {
    Request request = Subscribe({name});
    request.set_type_url("type.googleapis.com/istio.security.Authorization");
    DeltaSubscriptions connected;
    ASSERT_THAT(connected.OnRequest(request), IsOk());
    EXPECT_THAT(Names(connected.Next(first)), ElementsAre("demo/p"));
    EXPECT_THAT(Names(connected.Next(second)), ElementsAre("demo/p")) << name;
    DeltaSubscriptions back;
    (*request.mutable_initial_resource_versions())["demo/p"] = "stand-in-1";
    ASSERT_THAT(back.OnRequest(request), IsOk());
    EXPECT_THAT(Names(back.Next(second)), ElementsAre("demo/p")) << name;
  }
}

// Where something is whose address nobody knows.
TEST_F(DeltaSubscriptionsTest, NoAddressIsSaidToBeFreeWhileSomethingMayBeAtAny) {
  istio::workload::Workload workload;
  workload.set_uid("lost");
  auto lost = std::make_shared<Resource>(*MakeResource(RegistrySource::kApiEntries, workload));
  lost->stand_in = true;
  RegistryChange put, remove;
  put.put = {{lost}};
  remove.removed = {lost};
  const RegistrySnapshotPtr withheld = RegistrySnapshot::Empty()->With(put);
  DeltaSubscriptions agent;
  ASSERT_THAT(agent.OnRequest(Subscribe({"/10.9.9.9"})), IsOk());
  const absl::optional<Response> first = agent.Next(withheld);
  ASSERT_TRUE(first.has_value());
  EXPECT_THAT(first->removed_resources(), IsEmpty());
  const absl::optional<Response> then = agent.Next(withheld->With(remove));
  ASSERT_TRUE(then.has_value());
  EXPECT_THAT(then->removed_resources(), ElementsAre("/10.9.9.9"));
}

}  // namespace
}  // namespace byrnie
