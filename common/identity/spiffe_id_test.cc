#include "common/identity/spiffe_id.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(SpiffeIdTest, AcceptsWhatTheStandardAccepts) {
  const std::vector<std::string> texts = {
      "spiffe://td/a",
      "spiffe://cluster.local/ns/demo/sa/client",
      "spiffe://a.b-c_d.0/A.B-C_D/0/...",
      "spiffe://1/x",
      "spiffe://td/..a/a../.a",
      absl::StrCat("spiffe://", std::string(255, 'a'), "/x"),
      absl::StrCat("spiffe://td/", std::string(2048 - 12, 'p')),
  };
  for (const std::string& text : texts) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
    ASSERT_THAT(id, IsOk()) << text;
    EXPECT_EQ(id->text(), text);
    EXPECT_EQ(absl::StrCat("spiffe://", id->trust_domain(), id->path()), text);
  }
}

TEST(SpiffeIdTest, RefusesEverythingElseAndSaysWhy) {
  struct Case {
    std::string text;
    std::string why;
  };
  const std::vector<Case> cases = {
      {"", "begin with"},
      {"spiffe", "begin with"},
      {"spiffe:/td/a", "begin with"},
      {"SPIFFE://td/a", "begin with"},
      {"Spiffe://td/a", "begin with"},
      {"https://td/a", "begin with"},
      {" spiffe://td/a", "begin with"},
      {"spiffe://", "empty trust domain"},
      {"spiffe:///a", "empty trust domain"},
      {"spiffe://td", "no path"},
      {"spiffe://td/", "ends with '/'"},
      {"spiffe://td/a/", "ends with '/'"},
      {"spiffe://td//a", "empty segment"},
      {"spiffe://td/a//b", "empty segment"},
      {"spiffe://td//", "empty segment"},
      {"spiffe://td/.", "segment '.'"},
      {"spiffe://td/..", "segment '..'"},
      {"spiffe://td/a/../b", "segment '..'"},
      {"spiffe://td/./b", "segment '.'"},
      {"spiffe://Td/a", "'T'"},
      {"spiffe://TD/a", "'T'"},
      {"spiffe://td:443/a", "':'"},
      {"spiffe://user@td/a", "'@'"},
      {"spiffe://user:pass@td/a", "':'"},
      {"spiffe://td?x/a", "'?'"},
      {"spiffe://t%64/a", "'%'"},
      {"spiffe://t\xc3\xa9/a", "'\\xc3'"},
      {"spiffe://td/a?b=c", "'?'"},
      {"spiffe://td/a#b", "'#'"},
      {"spiffe://td/%61", "'%'"},
      {"spiffe://td/%2e%2e", "'%'"},
      {"spiffe://td/a b", "' '"},
      {"spiffe://td/a\n", "'\\n'"},
      {"spiffe://td/a*", "'*'"},
      {"spiffe://td/a:b", "':'"},
      {"spiffe://td/a\\b", "path has the character"},
      {"spiffe://td/\xc3\xa9", "'\\xc3'"},
      {std::string("spiffe://td/a\0b", 15), "\\x00"},
      {std::string("spiffe://td\0/a", 14), "\\x00"},
      {std::string("spiffe://td/a\0", 14), "\\x00"},
      {absl::StrCat("spiffe://", std::string(256, 'a'), "/x"), "at most 255"},
      {absl::StrCat("spiffe://td/", std::string(2049 - 12, 'p')), "2049 bytes long; at most 2048"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(SpiffeId::Parse(c.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.why)))
        << c.text;
  }
}

TEST(SpiffeIdTest, QuotesALongTextOnlyInPart) {
  const absl::Status status = SpiffeId::Parse(std::string(100'000, 'x')).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(std::string(128, 'x')), Not(HasSubstr(std::string(129, 'x')))));
}

TEST(SpiffeIdTest, NeverPrintsControlBytes) {
  const absl::Status status = SpiffeId::Parse("spiffe://td/\x1b[31m\n").status();
  EXPECT_THAT(std::string(status.message()), AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\n"))));
}

TEST(SpiffeIdTest, KnowsItsParts) {
  ASSERT_OK_AND_ASSIGN(SpiffeId id, SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/client"));
  EXPECT_EQ(id.trust_domain(), "cluster.local");
  EXPECT_EQ(id.path(), "/ns/demo/sa/client");
  EXPECT_EQ(id.k8s_namespace(), "demo");
  EXPECT_EQ(id.k8s_service_account(), "client");
}

TEST(SpiffeIdTest, HasNoNamespaceUnlessThePathIsExactlyKubernetes) {
  for (const char* text :
       {"spiffe://td/ns/demo", "spiffe://td/ns/demo/sa", "spiffe://td/x/ns/a/sa/b",
        "spiffe://td/ns/a/sa/b/c", "spiffe://td/ns/a/b/sa/c", "spiffe://td/ns/sa/b",
        "spiffe://td/NS/a/SA/b"}) {
    ASSERT_OK_AND_ASSIGN(SpiffeId id, SpiffeId::Parse(text));
    EXPECT_EQ(id.k8s_namespace(), "") << text;
    EXPECT_EQ(id.k8s_service_account(), "") << text;
  }
}

TEST(SpiffeIdTest, ComparesWithCase) {
  const SpiffeId a = *SpiffeId::Parse("spiffe://td/a");
  const SpiffeId b = *SpiffeId::Parse("spiffe://td/A");
  EXPECT_NE(a, b);
  EXPECT_LT(b, a);
  EXPECT_EQ(a, *SpiffeId::Parse("spiffe://td/a"));
}

TEST(SpiffeIdTest, ChecksTrustDomains) {
  EXPECT_THAT(SpiffeId::CheckTrustDomain("cluster.local"), IsOk());
  for (const char* name : {"", "Cluster.local", "a/b", "spiffe://td", "a b", "a:1"}) {
    EXPECT_THAT(SpiffeId::CheckTrustDomain(name), StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
}

}  // namespace
}  // namespace byrnie
