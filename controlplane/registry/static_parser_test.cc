#include "controlplane/registry/static_parser.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "controlplane/registry/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGood[] = R"json({
 "workloads":[{"name":"client","namespace":"demo","service_account":"client","addresses":["10.77.0.2","fd77::2"],
   "node":"n1","network":"net","cluster_id":"c1","locality":{"region":"r","zone":"z","subzone":"s"},"tunnel_protocol":"NONE","capacity":3,"healthy":false,"authorization_policies":["demo/p"],
   "services":{"demo/server.demo":[{"service_port":80,"target_port":8080}]}}],
 "services":[{"name":"server","namespace":"demo","hostname":"server.demo","addresses":["10.96.0.10"],"network":"net",
   "ports":[{"service_port":80,"target_port":8080}],
   "load_balancing":{"mode":"FAILOVER","routing_preference":["NETWORK","REGION","ZONE"],"health_policy":"ALLOW_ALL"}}],
 "policies":[{"name":"p","namespace":"demo","scope":"WORKLOAD_SELECTOR","action":"DENY","dry_run":true,
   "rules":[{"clauses":[{"matches":[{"namespaces":[{"exact":"demo"},{"presence":true}],
     "not_principals":[{"prefix":"a"},{"suffix":"b"}],"source_ips":["10.0.0.0/8","fd00::1"],
     "destination_ports":[8080],"service_accounts":[{"namespace":"demo","service_account":"c"}]}]}]}]}]})json";

absl::StatusOr<RegistrySnapshotPtr> Load(absl::string_view text) {
  auto content = ParseRegistryFile(text, "cluster.local");
  if (!content.ok()) return content.status();
  return RegistrySnapshot::Create(*content);
}

TEST(StaticParserTest, TakesWorkloadsOfOtherTrustDomains) {
  constexpr char kForeign[] = R"json({"workloads":[{"name":"far","namespace":"demo",
      "service_account":"far","addresses":["10.77.0.9"],"trust_domain":"partner.example"}]})json";
  auto content = ParseRegistryFile(kForeign, "cluster.local");
  ASSERT_THAT(content, IsOk());
  EXPECT_EQ(content->workloads.at(0).trust_domain(), "partner.example");
}

TEST(StaticParserTest, ReadsEveryField) {
  auto content = ParseRegistryFile(kGood, "cluster.local");
  ASSERT_THAT(content, IsOk());
  const auto& workload = content->workloads.at(0);
  EXPECT_EQ(workload.uid(), "static//pod/demo/client");
  EXPECT_EQ(workload.trust_domain(), "cluster.local");
  EXPECT_EQ(workload.addresses(0), std::string("\x0a\x4d\x00\x02", 4));
  EXPECT_EQ(workload.addresses(1).size(), 16u);
  EXPECT_EQ(workload.tunnel_protocol(), istio::workload::NONE);
  EXPECT_EQ(workload.capacity().value(), 3u);
  EXPECT_EQ(workload.status(), istio::workload::UNHEALTHY);
  EXPECT_EQ(workload.services().at("demo/server.demo").ports(0).target_port(), 8080u);
  EXPECT_EQ(workload.node(), "n1");
  EXPECT_EQ(workload.network(), "net");
  EXPECT_EQ(workload.cluster_id(), "c1");
  EXPECT_EQ(workload.locality().region(), "r");
  EXPECT_EQ(workload.locality().zone(), "z");
  EXPECT_EQ(workload.locality().subzone(), "s");
  const auto& service = content->services.at(0);
  EXPECT_EQ(service.addresses(0).network(), "net");
  EXPECT_EQ(service.load_balancing().mode(), istio::workload::LoadBalancing::FAILOVER);
  EXPECT_EQ(service.load_balancing().health_policy(), istio::workload::LoadBalancing::ALLOW_ALL);
  EXPECT_THAT(
      service.load_balancing().routing_preference(),
      ElementsAre(istio::workload::LoadBalancing::NETWORK, istio::workload::LoadBalancing::REGION,
                  istio::workload::LoadBalancing::ZONE));
  const auto& policy = content->policies.at(0);
  EXPECT_EQ(policy.action(), istio::security::DENY);
  EXPECT_TRUE(policy.dry_run());
  const auto& match = policy.rules(0).clauses(0).matches(0);
  EXPECT_EQ(match.namespaces(0).exact(), "demo");
  EXPECT_TRUE(match.namespaces(1).has_presence());
  EXPECT_EQ(match.source_ips(0).length(), 8u);
  EXPECT_EQ(match.source_ips(1).length(), 128u);
  EXPECT_THAT(Load(kGood), IsOk());
}

TEST(StaticParserTest, HboneAndHealthyAreTheDefaults) {
  auto content = ParseRegistryFile(
      R"({"workloads":[{"name":"a","namespace":"n","service_account":"s","addresses":["10.0.0.1"]}]})",
      "cluster.local");
  ASSERT_THAT(content, IsOk());
  EXPECT_EQ(content->workloads[0].tunnel_protocol(), istio::workload::HBONE);
  EXPECT_EQ(content->workloads[0].status(), istio::workload::HEALTHY);
  EXPECT_EQ(content->workloads[0].capacity().value(), 1u);
}

// One workload with `members` in place of, or beside, what it needs.
std::string Workload(const std::string& members) {
  return "{\"workloads\":[{\"namespace\":\"n\",\"service_account\":\"s\"," + members + "}]}";
}

// One service with this load balancing.
std::string Balanced(const std::string& members) {
  return "{\"services\":[{\"name\":\"s\",\"namespace\":\"n\",\"hostname\":\"h\",\"ports\":[],"
         "\"load_balancing\":{" +
         members + "}}]}";
}

TEST(StaticParserTest, EveryMistakeIsNamed) {
  const std::string policy = "{\"policies\":[{\"name\":\"p\",\"namespace\":\"n\",";
  const std::string match = policy +
                            "\"scope\":\"GLOBAL\",\"action\":\"ALLOW\",\"rules\":[{\"clauses\":"
                            "[{\"matches\":[";
  struct Case {
    std::string text, message;
  };
  const std::vector<Case> cases = {
      {"{", "line 1"},
      {"[]", "expected an object"},
      {"{\"pods\":[]}", "pods"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"nme\":1"), "workloads[0]"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.300\"]"), "workloads[0].addresses[0]"},
      {Workload("\"name\":\"a\",\"addresses\":[]"), "\"addresses\" is empty"},
      {Workload("\"name\":\"a\",\"addresses\":[\"127.0.0.1\"]"), "cannot be reached"},
      {Workload("\"name\":\"a\",\"addresses\":[\"224.0.0.1\"]"),
       "224.0.0.1 is a multicast address"},
      {Workload("\"name\":\"a\",\"addresses\":[\"ff02::1\"]"), "ff02::1 is a multicast address"},
      {Workload("\"name\":\"a\",\"addresses\":[\"255.255.255.255\"]"), "is the broadcast address"},
      {Workload("\"name\":\"a/b\",\"addresses\":[\"10.0.0.1\"]"), "a/b"},
      {Workload("\"name\":\"\",\"addresses\":[\"10.0.0.1\"]"), "\"name\" is empty"},
      {Workload("\"addresses\":[\"10.0.0.1\"]"), "name"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\",\"10.0.0.1\"]"), "10.0.0.1 belongs to"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\",\"::ffff:10.0.0.1\"]"),
       "10.0.0.1 belongs to"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"tunnel_protocol\":\"HTTP\""),
       "none of HBONE, LEGACY_ISTIO_MTLS, NONE"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"application_tunnel\":"
                "{\"protocol\":\"HTTP\"}"),
       "neither PROXY nor NONE"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"application_tunnel\":"
                "{\"protocol\":\"PROXY\",\"port\":0}"),
       "port"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"capacity\":0"), "capacity"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"authorization_policies\":[\"n/x\"]"),
       "there is no policy \"n/x\""},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"services\":{\"n/x\":[]}"),
       "there is no service \"n/x\""},
      {"{\"services\":[{\"name\":\"s\",\"namespace\":\"n\",\"hostname\":\"h\",\"ports\":"
       "[{\"service_port\":0}]}]}",
       "services[0].ports[0].service_port"},
      {"{\"services\":[{\"name\":\"s\",\"namespace\":\"n\",\"hostname\":\"h\",\"ports\":[]},"
       "{\"name\":\"t\",\"namespace\":\"n\",\"hostname\":\"h\",\"ports\":[]}]}",
       "is the key of services[0] already"},
      {Workload("\"name\":\"a\",\"addresses\":[\"10.0.0.1\"],\"locality\":{\"city\":\"c\"}"),
       "city"},
      {Balanced("\"mode\":\"NEAREST\""), "neither STRICT nor FAILOVER"},
      {Balanced("\"mode\":\"STRICT\",\"routing_preference\":[\"CITY\"]"), "none of REGION"},
      {Balanced("\"mode\":\"STRICT\",\"routing_preference\":[\"UNSPECIFIED_SCOPE\"]"),
       "none of REGION"},
      {Balanced("\"mode\":\"STRICT\""), "give both or neither"},
      {Balanced("\"routing_preference\":[\"ZONE\"]"), "give both or neither"},
      {Balanced("\"mode\":\"STRICT\",\"routing_preference\":[\"ZONE\",\"ZONE\"]"),
       "names ZONE twice"},
      {Balanced("\"health_policy\":\"SOME\""), "neither ONLY_HEALTHY nor ALLOW_ALL"},
      {policy + "\"action\":\"ALLOW\"}]}", "scope"},
      {policy + "\"scope\":\"GLOBAL\"}]}", "action"},
      {policy + "\"scope\":\"GLOBAL\",\"action\":\"AUDIT\"}]}", "neither ALLOW nor DENY"},
      {match + "{\"principal\":[]}]}]}]}]}", "principal"},
      {match + "{\"principals\":[{\"exact\":\"\"}]}]}]}]}]}", "is empty"},
      {match + "{\"principals\":[{\"exact\":\"spiffe://td/a\"}]}]}]}]}]}",
       "leave \"spiffe://\" out"},
      {match + "{\"not_principals\":[{\"prefix\":\"spiffe:\"}]}]}]}]}]}",
       "leave \"spiffe://\" out"},
      {match + "{\"namespaces\":[{\"exact\":\"*\"}]}]}]}]}]}", "compared literally"},
      {match + "{\"principals\":[{}]}]}]}]}]}", "exactly one of"},
      {match + "{\"principals\":[{\"exact\":\"a\",\"prefix\":\"b\"}]}]}]}]}]}", "exactly one of"},
      {match + "{\"principals\":[{\"presence\":false}]}]}]}]}]}", "must be true"},
      {match + "{\"source_ips\":[\"10.0.0.0/33\"]}]}]}]}]}", "prefix length"},
      {match + "{\"destination_ports\":[70000]}]}]}]}]}", "destination_ports[0]"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(Load(c.text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.text;
  }
}

}  // namespace
}  // namespace byrnie
