#include "controlplane/registry/entry_document.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_matchers.h"
#include "common/grpc/error_details.h"
#include "controlplane/registry/resource.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

const char kAll[] = R"({
  "workloads": [{"name": "a", "namespace": "n", "service_account": "s", "uid": "u", "network": "net",
                 "addresses": ["10.0.0.1", "fd00::1"], "cluster_id": "c", "node": "k",
                 "locality": {"region": "r", "subzone": "z"}, "tunnel_protocol": "NONE",
                 "application_tunnel": {"protocol": "PROXY", "port": 9}, "capacity": 7,
                 "healthy": false, "authorization_policies": ["n/p"], "trust_domain": "other",
                 "services": {"n/h": [{"service_port": 80, "target_port": 8080}], "n/b": []}},
                {"name": "b", "namespace": "n", "service_account": "s", "addresses": ["10.0.0.2"]}],
  "services": [{"name": "h", "namespace": "n", "hostname": "h", "addresses": ["10.1.0.1"],
                "network": "net", "ports": [{"service_port": 80}, {"service_port": 81}],
                "subject_alt_names": ["spiffe://td/x"],
                "load_balancing": {"mode": "FAILOVER", "routing_preference": ["REGION", "ZONE"],
                                   "health_policy": "ALLOW_ALL"}},
               {"name": "b", "namespace": "n", "hostname": "b", "ports": []}]})";

TEST(EntryDocumentTest, WhatIsWrittenIsReadAgain) {
  const auto content = ParseRegistryDocument(kAll, "td");
  ASSERT_THAT(content, IsOk());
  for (const auto& workload : content->workloads) {
    const auto again = ParseRegistryDocument(WriteRegistryDocument(workload), "elsewhere");
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(MakeResource(RegistrySource::kFile, again->workloads.at(0))->payload,
              MakeResource(RegistrySource::kFile, workload)->payload);
  }
  for (const auto& service : content->services) {
    const auto again = ParseRegistryDocument(WriteRegistryDocument(service), "elsewhere");
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(MakeResource(RegistrySource::kFile, again->services.at(0))->payload,
              MakeResource(RegistrySource::kFile, service)->payload);
  }
}

TEST(EntryDocumentTest, EveryMistakeIsOfAField) {
  const std::string entry =
      R"({"name":"a","namespace":"n","service_account":"s","addresses":["10.0.0.1"])";
  const struct {
    std::string text, field, message;
  } cases[] = {
      {"", "document", "is empty"},
      {"{", "document", "line 1"},
      {"{}", "document", "neither workloads nor services"},
      {R"({"policies":[{"name":"p","namespace":"n","scope":"GLOBAL","action":"DENY"}]})",
       "document.policies", "byrniectl policy apply"},
      {absl::StrCat("{\"workloads\":[", entry, ",\"x\":1}]}"), "document.workloads[0]", "x"},
      {absl::StrCat("{\"workloads\":[", entry, ",\"capacity\":0}]}"),
       "document.workloads[0].capacity", "not between"},
      {absl::StrCat("{\"workloads\":[", entry, "},", entry, ",\"node\":1}]}"),
       "document.workloads[1].node", "expected a string"},
      {R"({"workloads":[{"name":"a/b","namespace":"n","service_account":"s","addresses":["::2"]}]})",
       "document.workloads[0]", "use letters"},
      {absl::StrCat("{\"workloads\":[", entry, ",\"uid\":\"\\u00e9\"}]}"),
       "document.workloads[0].uid", "printable ASCII"},
      {absl::StrCat(
           "{\"workloads\":[",
           absl::StrJoin(std::vector<std::string>(kMaxRegistryDocumentEntries + 1, entry + "}"),
                         ","),
           "]}"),
       "document", "at most 45"},
      {std::string(kMaxRegistryDocument + 1, ' '), "document", "at most"},
  };
  for (const auto& c : cases) {
    const absl::Status status = ParseRegistryDocument(c.text, "td").status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)));
    google::rpc::BadRequest detail;
    ASSERT_TRUE(GetDetail(status, &detail)) << c.text;
    EXPECT_EQ(detail.field_violations(0).field(), c.field) << c.text;
  }
}

}  // namespace
}  // namespace byrnie
