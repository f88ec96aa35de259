#include "controlplane/policy/policy_probe.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "controlplane/policy/address_set.h"
#include "controlplane/policy/known_texts.h"
#include "controlplane/policy/policy_document.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

enum class Reach { kTooLarge, kLess, kEveryIdentity, kEverything };

Reach Probe(const std::string& action, const std::string& matches, const ProbeGround& ground) {
  const auto policy = ParsePolicyDocument(
      absl::StrCat(R"({"name":"x","namespace":"demo","scope":"NAMESPACE","action":")", action,
                   R"(","rules":[{"clauses":[{"matches":[)", matches, "]}]}]}"));
  EXPECT_TRUE(policy.ok()) << policy.status();
  const ProbedReach reach = ProbeReach(*policy, ground);
  EXPECT_LE(reach.everything, reach.every_identity);
  EXPECT_FALSE(reach.too_large && reach.every_identity);
  return reach.too_large        ? Reach::kTooLarge
         : reach.everything     ? Reach::kEverything
         : reach.every_identity ? Reach::kEveryIdentity
                                : Reach::kLess;
}

ProbeGround Ground() {
  return {{"cluster.local"}, KnownTexts({"cluster.local/ns/demo/sa/client"})};
}

TEST(PolicyProbeTest, WhatNamesSomeLeavesOthersOut) {
  for (const char* match :
       {R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})",
        R"({"not_principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})",
        R"({"not_principals":[{"prefix":"cluster.local/ns/other/"}]})",
        R"({"not_principals":[{"suffix":"/sa/nobody"}]})",
        R"({"not_namespaces":[{"exact":"nowhere"}]})", R"({"not_namespaces":[{"suffix":"-x"}]})",
        R"({"not_service_accounts":[{"namespace":"demo","service_account":"x"}]})",
        R"({"namespaces":[{"exact":"demo"}]})", R"({"destination_ports":[80]})",
        R"({"not_destination_ports":[80]})", R"({"source_ips":["0.0.0.0/0"]})",
        R"({"not_source_ips":["10.1.2.3"]})",
        R"({"source_ips":["0.0.0.0/1","::/0"]},{"source_ips":["128.0.0.0/2"]})",
        R"({"source_ips":["10.0.0.0/8"]},{"destination_ports":[80]})"}) {
    for (const char* action : {"ALLOW", "DENY"}) {
      EXPECT_EQ(Probe(action, match, Ground()), Reach::kLess) << match;
      EXPECT_EQ(Probe(action, match, {}), Reach::kLess) << match;
    }
  }
}

TEST(PolicyProbeTest, ANameAndAllOthersAreEverybody) {
  for (const std::string& value : {std::string(R"([{"exact":"cluster.local/ns/demo/sa/client"}])"),
                                   std::string(R"([{"prefix":"cluster.local/ns/demo/"}])"),
                                   std::string(R"([{"suffix":"/sa/client"}])")}) {
    const std::string matches =
        absl::StrCat(R"({"principals":)", value, R"(},{"not_principals":)", value, "}");
    EXPECT_EQ(Probe("DENY", matches, Ground()), Reach::kEverything) << value;
    // Plaintext is nobody, and fails closed.
    EXPECT_EQ(Probe("ALLOW", matches, Ground()), Reach::kEveryIdentity) << value;
    EXPECT_EQ(Probe("DENY", matches, {}), Reach::kEverything) << value;
  }
}

TEST(PolicyProbeTest, BlocksAreEverythingWhereTheyMeet) {
  const char* const halves =
      R"({"source_ips":["0.0.0.0/1","::/1"]},{"source_ips":["128.0.0.0/1","8000::/1"]})";
  EXPECT_EQ(Probe("ALLOW", halves, Ground()), Reach::kEverything);
  EXPECT_EQ(Probe("DENY", R"({"destination_ips":["10.0.0.0/8"]})", Ground()), Reach::kLess);
  ProbeGround ground = Ground();
  AddressSet concerned;
  for (const char last : {1, 2}) concerned.Add(std::string({10, 0, 0, last}));
  concerned.Sort();
  ground.addresses = &concerned;
  EXPECT_EQ(Probe("DENY", R"({"destination_ips":["10.0.0.0/8"]})", ground), Reach::kEverything);
  EXPECT_EQ(Probe("DENY", R"({"destination_ips":["10.0.0.2"]})", ground), Reach::kLess);
}

// As many as a document has room for, each of which makes others to be tried.
TEST(PolicyProbeTest, SaysSoWhereThereAreTooManyTextsToCompare) {
  const auto both = [](int count) {
    std::string list;
    for (int i = 0; i < count; ++i) {
      absl::StrAppend(&list, i == 0 ? "" : ",", R"({"suffix":"/sa/)", i, R"("})");
    }
    return absl::StrCat(R"({"principals":[)", list, R"(]},{"not_principals":[)", list, "]}");
  };
  EXPECT_EQ(Probe("DENY", both(100), Ground()), Reach::kEverything);
  EXPECT_EQ(Probe("DENY", both(3000), Ground()), Reach::kTooLarge);
}

TEST(PolicyProbeTest, SaysSoWhereThereIsTooMuchToTry) {
  std::string matches = R"({"destination_ports":[80]},{"not_destination_ports":[80]})";
  for (int i = 1; i < 250; ++i) {
    absl::StrAppend(&matches, R"(,{"source_ips":["10.)", i, R"(.0.0/16"],"destination_ports":[)", i,
                    R"(],"principals":[{"exact":"cluster.local/ns/demo/sa/)", i, R"("}]})");
  }
  EXPECT_EQ(Probe("DENY", matches, Ground()), Reach::kTooLarge);
}

}  // namespace
}  // namespace byrnie
