#include "controlplane/policy/policy_findings.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/policy/known_mesh.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRegistry[] = R"({"workloads":[
    {"name":"client","namespace":"demo","service_account":"client","addresses":["10.0.0.1"]},
    {"name":"server","namespace":"demo","service_account":"server","addresses":["10.0.0.2"],
     "authorization_policies":["demo/selected"]},
    {"name":"other","namespace":"other","service_account":"other","addresses":["10.0.0.3"]}],
  "policies":[{"name":"selected","namespace":"demo","scope":"WORKLOAD_SELECTOR","action":"DENY"}]})";

const RegistrySnapshot& Ipv4Registry() {
  static const RegistrySnapshotPtr registry =
      *RegistrySnapshot::Create(*ParseRegistryFile(kRegistry, "cluster.local"));
  return *registry;
}

PolicyReview Review(const std::string& action, const std::string& rules,
                    const std::string& scope = "NAMESPACE", const std::string& name = "x",
                    const std::string& ns = "demo",
                    const RegistrySnapshot& registry = Ipv4Registry()) {
  const auto policy = ParsePolicyDocument(
      absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"", ns, "\",\"scope\":\"", scope,
                   "\",\"action\":\"", action, "\",\"rules\":", rules, "}"));
  EXPECT_TRUE(policy.ok()) << policy.status();
  return ReviewPolicy(*policy, LookAround(registry));
}

std::string Rule(const std::string& match) {
  return absl::StrCat("[{\"clauses\":[{\"matches\":[", match, "]}]}]");
}

std::vector<std::string> Warnings(const PolicyReview& review) {
  std::vector<std::string> texts;
  for (const PolicyFinding& finding : review.findings) {
    if (finding.severity == PolicyFinding::Severity::kWarning) {
      texts.push_back(absl::StrCat(finding.field, ": ", finding.message));
    }
  }
  return texts;
}

TEST(PolicyFindingsTest, AnOrdinaryPolicyIsNotRemarkable) {
  const PolicyReview review =
      Review("ALLOW", Rule(R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})"));
  EXPECT_THAT(review.findings, IsEmpty());
  EXPECT_EQ(review.workloads, 2u);
}

TEST(PolicyFindingsTest, SaysThatNothingMatches) {
  for (const char* rules : {"[]", "[{}]", R"([{},{"clauses":[]}])"}) {
    EXPECT_THAT(Warnings(Review("DENY", rules)), Contains(HasSubstr("keeps nobody out")));
    EXPECT_THAT(Warnings(Review("ALLOW", rules)), Contains(HasSubstr("lets nobody in")));
  }
  EXPECT_THAT(
      Warnings(Review("DENY", Rule(R"({"destination_ports":[80],"not_destination_ports":[80]})"))),
      Contains(AllOf(HasSubstr("rules[0].clauses[0].matches[0]"), HasSubstr("never matches"))));
}

TEST(PolicyFindingsTest, SaysThatEverythingMatches) {
  for (const char* rules : {R"([{"clauses":[{}]}])", R"([{"clauses":[{"matches":[{}]}]}])",
                            R"([{"clauses":[{"matches":[{"destination_ports":[1]},{}]}]}])"}) {
    EXPECT_THAT(Warnings(Review("ALLOW", rules)), Contains(HasSubstr("matches everything")));
    EXPECT_THAT(Warnings(Review("DENY", rules)), Contains(HasSubstr("every connection")));
  }
}

TEST(PolicyFindingsTest, SaysThatEveryAddressIsEverything) {
  for (const char* match : {R"({"source_ips":["0.0.0.0/0","::/0"]})",
                            R"({"destination_ips":["::/0","10.0.0.1/32","0.0.0.0/0"]})"}) {
    EXPECT_THAT(Warnings(Review("ALLOW", Rule(match))), Contains(HasSubstr("matches everything")));
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))), Contains(HasSubstr("every connection")));
  }
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"not_source_ips":["0.0.0.0/0","::/0"]})"))),
              Contains(HasSubstr("keeps nobody out")));
  EXPECT_THAT(Warnings(Review(
                  "DENY", Rule(R"({"source_ips":["0.0.0.0/0","::/0"],"destination_ports":[80]})"))),
              IsEmpty());
}

TEST(PolicyFindingsTest, SaysThatADenialLeavesNobodyOfTheRegistry) {
  for (const char* match :
       {R"({"source_ips":["10.0.0.0/24"]})", R"({"not_source_ips":["1.2.3.4"]})",
        R"({"namespaces":[{"exact":"demo"}]},{"namespaces":[{"exact":"other"}]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))),
                Contains(HasSubstr("everybody whom the registry has")))
        << match;
    // Which may be all that is wanted of an allowance.
    EXPECT_THAT(Warnings(Review("ALLOW", Rule(match))), IsEmpty()) << match;
  }
  for (const char* match :
       {R"({"source_ips":["10.0.0.1","10.0.0.2"]})", R"({"not_source_ips":["10.0.0.3"]})",
        R"({"namespaces":[{"exact":"demo"}]})",
        R"({"source_ips":["10.0.0.0/24"],"destination_ports":[80]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))), IsEmpty()) << match;
  }
}

// Both ends of a connection are of one family, and the workloads here have IPv4 addresses alone.
TEST(PolicyFindingsTest, SaysWhatAFamilyOfAddressesComesTo) {
  const std::string all_ipv4 = Rule(R"({"source_ips":["0.0.0.0/1","128.0.0.0/1"]})");
  EXPECT_THAT(Warnings(Review("ALLOW", all_ipv4)), Contains(HasSubstr("matches everything")));
  EXPECT_THAT(Warnings(Review("DENY", all_ipv4)), Contains(HasSubstr("every connection")));
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"source_ips":["::/0"]})"))),
              Contains(AllOf(HasSubstr("rules[0].clauses[0].matches[0]"), HasSubstr("IPv6"),
                             HasSubstr("never matches"))));
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"source_ips":["::/0","10.0.0.1"]})"))), IsEmpty());
  // Of a mesh that has both neither is all.
  const RegistrySnapshotPtr both = *RegistrySnapshot::Create(*ParseRegistryFile(
      R"({"workloads":[{"name":"server","namespace":"demo","service_account":"server",
                        "addresses":["10.0.0.2","fd00::2"]}]})",
      "cluster.local"));
  for (const char* block : {"0.0.0.0/0", "::/0"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(absl::StrCat(R"({"source_ips":[")", block, R"("]})")),
                                "NAMESPACE", "x", "demo", *both)),
                IsEmpty())
        << block;
  }
}

TEST(PolicyFindingsTest, SaysThatEveryIdentityMatches) {
  for (const char* match :
       {R"({"principals":[{"presence":true}]})", R"({"namespaces":[{"presence":true}]})",
        R"({"principals":[{"prefix":"cluster.local/"}]})",
        R"({"principals":[{"prefix":"cluster.local/ns/"}]})",
        R"({"principals":[{"presence":true}],"source_ips":["0.0.0.0/0","::/0"]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))), Contains(HasSubstr("every identity")))
        << match;
    // That plaintext is kept out may be all that is wanted.
    const PolicyReview allow = Review("ALLOW", Rule(match));
    EXPECT_FALSE(allow.has_warning());
    ASSERT_EQ(allow.findings.size(), 1u);
    EXPECT_THAT(allow.findings[0].message, HasSubstr("every identity"));
  }
  for (const char* match : {R"({"principals":[{"prefix":"cluster.local/ns/demo/"}]})",
                            R"({"principals":[{"prefix":"elsewhere/"}]})",
                            R"({"principals":[{"presence":true}],"destination_ports":[80]})",
                            R"({"not_principals":[{"presence":true}]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))), IsEmpty()) << match;
  }
}

// As it does to somebody who reads one match after the other, and not to connections.
TEST(PolicyFindingsTest, SaysThatMatchesTogetherLeaveNobodyOut) {
  const char* const client = R"({"exact":"cluster.local/ns/demo/sa/client"})";
  const std::string either =
      absl::StrCat(R"({"principals":[)", client, R"(]},{"not_principals":[)", client, "]}");
  for (const std::string& matches :
       {std::string(R"({"destination_ports":[80]},{"not_destination_ports":[80]})"),
        std::string(R"({"source_ips":["10.0.0.0/8"]},{"not_source_ips":["10.1.0.0/16"]})"),
        // All addresses of the workloads it is about.
        std::string(R"({"destination_ips":["10.0.0.0/8"]})"),
        std::string(R"({"destination_ips":["10.0.0.1","10.0.0.2"]})")}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(matches))), Contains(HasSubstr("every connection")))
        << matches;
    EXPECT_THAT(Warnings(Review("ALLOW", Rule(matches))), Contains(HasSubstr("plaintext included")))
        << matches;
  }
  EXPECT_THAT(Warnings(Review("DENY", Rule(either))), Contains(HasSubstr("every connection")));
  EXPECT_THAT(Warnings(Review("ALLOW", Rule(either))),
              Contains(HasSubstr("together leave no identity out")));
  // Rules do what matches do.
  EXPECT_THAT(
      Warnings(Review("DENY", R"([{"clauses":[{"matches":[{"destination_ports":[80]}]}]},)"
                              R"({"clauses":[{"matches":[{"not_destination_ports":[80]}]}]}])")),
      Contains(HasSubstr("every connection")));
}

TEST(PolicyFindingsTest, SaysThatNoConnectionHasWhatTheClausesOfARuleAskFor) {
  const auto clauses = [](const char* one, const char* other) {
    return absl::StrCat(R"([{"clauses":[{"matches":[)", one, R"(]},{"matches":[)", other, "]}]}]");
  };
  for (const std::string& rules :
       {clauses(R"({"destination_ports":[80]})", R"({"destination_ports":[81,82]})"),
        clauses(R"({"namespaces":[{"exact":"demo"}]})", R"({"namespaces":[{"exact":"other"}]})"),
        clauses(R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})",
                R"({"principals":[{"exact":"cluster.local/ns/demo/sa/server"}]})"),
        clauses(R"({"source_ips":["10.0.0.0/24"]})", R"({"source_ips":["10.0.1.0/24","::/0"]})"),
        clauses(R"({"service_accounts":[{"namespace":"demo","service_account":"client"}]})",
                R"({"service_accounts":[{"namespace":"demo","service_account":"server"}]})")}) {
    EXPECT_THAT(Warnings(Review("ALLOW", rules)),
                Contains(AllOf(HasSubstr("rules[0]: "), HasSubstr("never matches"))));
    EXPECT_THAT(Warnings(Review("ALLOW", rules)), Contains(HasSubstr("lets nobody in")));
  }
  for (const std::string& rules :
       {clauses(R"({"destination_ports":[80,81]})", R"({"destination_ports":[81,82]})"),
        clauses(R"({"destination_ports":[80]})",
                R"({"destination_ports":[81]},{"namespaces":[{"exact":"demo"}]})"),
        clauses(R"({"namespaces":[{"exact":"demo"}]})", R"({"namespaces":[{"prefix":"d"}]})")}) {
    EXPECT_THAT(Warnings(Review("ALLOW", rules)), IsEmpty()) << rules;
  }
}

// All clauses of a rule must match, so that one that says something is enough.
TEST(PolicyFindingsTest, ARuleReachesAsFarAsItsNarrowestClause) {
  EXPECT_THAT(
      Warnings(Review("DENY", R"([{"clauses":[{},{"matches":[{"destination_ports":[80]}]}]}])")),
      IsEmpty());
}

TEST(PolicyFindingsTest, SaysThatItIsAboutNobody) {
  EXPECT_THAT(
      Warnings(Review("DENY", Rule(R"({"destination_ports":[80]})"), "NAMESPACE", "x", "no")),
      Contains(HasSubstr("none in namespace no")));
  const PolicyReview unselected =
      Review("DENY", Rule(R"({"destination_ports":[80]})"), "WORKLOAD_SELECTOR");
  EXPECT_THAT(Warnings(unselected), Contains(HasSubstr("demo/x")));
  EXPECT_EQ(Review("DENY", Rule(R"({"destination_ports":[80]})"), "WORKLOAD_SELECTOR", "selected")
                .workloads,
            1u);
  EXPECT_EQ(Review("DENY", Rule(R"({"destination_ports":[80]})"), "GLOBAL").workloads, 3u);
}

TEST(PolicyFindingsTest, NotesWhomTheRegistryDoesNotKnow) {
  const PolicyReview review = Review(
      "ALLOW",
      Rule(
          R"({"principals":[{"exact":"cluster.local/ns/demo/sa/nobody"}]},{"namespaces":[{"exact":"nowhere"}]})"));
  ASSERT_EQ(review.findings.size(), 3u);
  EXPECT_THAT(review.findings[0].message, HasSubstr("sa/nobody"));
  EXPECT_THAT(review.findings[1].message, HasSubstr("nowhere"));
  // An exclusion that is mistyped lets in whom it was to keep out.
  for (const char* match :
       {R"({"not_principals":[{"exact":"cluster.local/ns/demo/sa/clinet"}]})",
        R"({"not_namespaces":[{"prefix":"demos"}]})",
        R"({"not_service_accounts":[{"namespace":"demo","service_account":"x"}]})"}) {
    const PolicyReview excluding = Review("ALLOW", Rule(match));
    ASSERT_EQ(excluding.findings.size(), 1u) << match;
    EXPECT_THAT(excluding.findings[0].message, HasSubstr("nobody is excluded"));
  }
  EXPECT_THAT(Review("ALLOW", Rule(R"({"principals":[{"prefix":"cluster.local/ns/dmeo/"}]})"))
                  .findings[0]
                  .message,
              HasSubstr("cluster.local/ns/dmeo/..."));
}

TEST(PolicyFindingsTest, SaysThatAnAllowLetsInNobodyWhoIsKnown) {
  const std::string typo = R"({"principals":[{"exact":"cluster.local/ns/demo/sa/clinet"}]})";
  const std::string client = R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})";
  for (const std::string& rules :
       {Rule(typo), Rule(typo + R"(,{"namespaces":[{"exact":"dmeo"}]})"),
        Rule(R"({"service_accounts":[{"namespace":"demo","service_account":"clinet"}]})"),
        // It is for nobody, whatever else its clauses say.
        absl::StrCat(R"([{"clauses":[{"matches":[{"destination_ports":[80]}]},{"matches":[)", typo,
                     "]}]}]"),
        // The other rule never matches.
        absl::StrCat(R"([{"clauses":[{"matches":[)", typo, R"(]}]},{"clauses":[]}])")}) {
    EXPECT_THAT(Warnings(Review("ALLOW", rules)), Contains(HasSubstr("nobody whom the registry")))
        << rules;
  }
  // One that lets in somebody is only noted; and one that keeps nobody out closes nothing.
  EXPECT_THAT(Warnings(Review("ALLOW", Rule(typo + "," + client))), IsEmpty());
  EXPECT_THAT(
      Warnings(Review("ALLOW", absl::StrCat(R"([{"clauses":[{"matches":[)", typo,
                                            R"(]}]},{"clauses":[{"matches":[)", client, "]}]}]"))),
      IsEmpty());
  EXPECT_THAT(Warnings(Review("ALLOW", Rule(R"({"destination_ports":[80]})"))), IsEmpty());
  EXPECT_THAT(Warnings(Review("ALLOW", Rule(R"({"principals":[{"prefix":"cluster.local/"}]})"))),
              IsEmpty());
  EXPECT_THAT(Warnings(Review("DENY", Rule(typo))), IsEmpty());
}

TEST(PolicyFindingsTest, SaysThatWhatIsExcludedIsAllThatIsAskedFor) {
  for (const char* match :
       {R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}],)"
        R"("not_principals":[{"prefix":"cluster.local/ns/demo/"}]})",
        R"({"source_ips":["10.1.0.0/16"],"not_source_ips":["10.0.0.0/9","10.128.0.0/9"]})",
        R"({"namespaces":[{"exact":"demo"}],"not_principals":[{"presence":true}]})",
        R"({"not_source_ips":["0.0.0.0/1","128.0.0.0/1","::/0"]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))),
                Contains(AllOf(HasSubstr("matches[0]: "), HasSubstr("never matches"))))
        << match;
  }
}

TEST(PolicyFindingsTest, SaysThatNoIdentityIsWhatAMatchAsksFor) {
  for (
      const char* match :
      {R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}],"namespaces":[{"exact":"other"}]})",
       R"({"service_accounts":[{"namespace":"demo","service_account":"client"}],)"
       R"("namespaces":[{"exact":"other"}]})",
       R"({"service_accounts":[{"namespace":"demo","service_account":"client"}],)"
       R"("principals":[{"exact":"cluster.local/ns/demo/sa/server"}]})"}) {
    EXPECT_THAT(Warnings(Review("DENY", Rule(match))),
                Contains(AllOf(HasSubstr("no identity"), HasSubstr("never matches"))))
        << match;
  }
  EXPECT_THAT(
      Warnings(Review(
          "DENY",
          Rule(
              R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}],"namespaces":[{"exact":"demo"}]})"))),
      IsEmpty());
}

TEST(PolicyFindingsTest, SaysThatItIsAboutAddressesOfNobodyItIsAbout) {
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"destination_ips":["10.0.0.3"]})"))),
              Contains(HasSubstr("none of them has one of these")));
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"destination_ips":["10.0.0.2/31"]})"))), IsEmpty());
}

constexpr char kServices[] = R"({"services":[
    {"name":"web","namespace":"demo","hostname":"web.demo","addresses":["10.96.0.1"],
     "ports":[{"service_port":80,"target_port":8080},{"service_port":443,"target_port":443}]}],
  "workloads":[
    {"name":"web","namespace":"demo","service_account":"web","addresses":["10.0.0.1"],
     "services":{"demo/web.demo":[{"service_port":80,"target_port":8080},
                                  {"service_port":443,"target_port":443}]}},
    {"name":"other","namespace":"other","service_account":"other","addresses":["10.0.0.2"]}]})";

const RegistrySnapshot& ServicesRegistry() {
  static const RegistrySnapshotPtr registry =
      *RegistrySnapshot::Create(*ParseRegistryFile(kServices, "cluster.local"));
  return *registry;
}

// Policies see the port that an application listens on: the port of its service closes nothing.
TEST(PolicyFindingsTest, SaysThatAPortIsThatOfAService) {
  for (const char* action : {"ALLOW", "DENY"}) {
    const PolicyReview review = Review(action, Rule(R"({"destination_ports":[80]})"), "NAMESPACE",
                                       "x", "demo", ServicesRegistry());
    EXPECT_THAT(Warnings(review),
                Contains(AllOf(HasSubstr("rules[0].clauses[0].matches[0]: 80 is the port of"),
                               HasSubstr("service demo/web.demo"), HasSubstr("leads to, 8080"),
                               HasSubstr("Give 8080"))));
  }
}

TEST(PolicyFindingsTest, APortThatConnectionsComeToIsNotRemarkable) {
  for (const char* ports : {"[8080]", "[443]", "[9999]", "[80,8080]"}) {
    const std::string match = absl::StrCat("{\"destination_ports\":", ports, "}");
    EXPECT_THAT(Warnings(Review("DENY", Rule(match), "NAMESPACE", "x", "demo", ServicesRegistry())),
                IsEmpty())
        << ports;
  }
  // Nor is the port of others' service.
  EXPECT_THAT(Warnings(Review("DENY", Rule(R"({"destination_ports":[80]})"), "NAMESPACE", "x",
                              "other", ServicesRegistry())),
              IsEmpty());
}

// Nobody is to take it for one that was found to be in order.
TEST(PolicyFindingsTest, NotesThatAPolicyIsTooLargeToBeTried) {
  std::string suffixes;
  for (int i = 0; i < 3000; ++i) {
    absl::StrAppend(&suffixes, i == 0 ? "" : ",", "{\"suffix\":\"/sa/", i, "\"}");
  }
  const PolicyReview review = Review(
      "ALLOW", Rule(absl::StrCat("{\"principals\":[", suffixes, ",{\"suffix\":\"/client\"}]},",
                                 "{\"not_principals\":[", suffixes, "]}")));
  EXPECT_FALSE(review.has_warning());
  EXPECT_THAT(review.findings, Contains(::testing::Field(&PolicyFinding::message,
                                                         HasSubstr("too large to be tried"))));
}

TEST(PolicyFindingsTest, SaysOfManyFindingsHowManyThereAre) {
  std::string principals;
  for (int i = 0; i < 3000; ++i) {
    absl::StrAppend(&principals, i == 0 ? "" : ",", "{\"exact\":\"cluster.local/ns/a/sa/b", i,
                    "\"}");
  }
  const PolicyReview review =
      Review("DENY", Rule(absl::StrCat("{\"principals\":[", principals, "]}")));
  ASSERT_EQ(review.findings.size(), 21u);
  EXPECT_EQ(review.findings.back().message, "and 2980 more notes about parts of it");
  EXPECT_FALSE(review.has_warning());
  // What is about all of it stays.
  std::string rules = "[";
  for (int i = 0; i < 30; ++i) absl::StrAppend(&rules, i == 0 ? "" : ",", "{}");
  const std::vector<std::string> warnings = Warnings(Review("DENY", rules + "]"));
  EXPECT_THAT(warnings, Contains(HasSubstr("keeps nobody out")));
  EXPECT_EQ(warnings.back(), ": and 10 more warnings about parts of it");
}

}  // namespace
}  // namespace byrnie
