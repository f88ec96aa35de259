#include "controlplane/page/mesh_page.h"

#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

class MeshPageTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  MeshPage page_{&clock_, [] {
                   MeshState state;
                   state.trust_domain = "td";
                   return state;
                 }};
};

TEST_F(MeshPageTest, IsOneDocumentThatAsksNobodyElse) {
  const HttpResponse response = page_.Page();
  EXPECT_EQ(response.status, 200);
  for (const char* elsewhere :
       {"src=\"", "@import", "url(", "//cdn", "https://", "@STYLE@", "@SCRIPT@"}) {
    EXPECT_THAT(response.body, Not(HasSubstr(elsewhere)));
  }
  // The one address in it is the name of a namespace.
  const std::string name = "http://www.w3.org/2000/svg";
  const size_t at = response.body.find("http://");
  EXPECT_EQ(response.body.substr(at, name.size()), name);
  EXPECT_EQ(response.body.find("http://", at + 1), std::string::npos);
}

TEST_F(MeshPageTest, PutsNothingIntoItselfAsMarkup) {
  const std::string body = page_.Page().body;
  for (const char* way : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                          "DOMParser", "new Function"}) {
    EXPECT_THAT(body, Not(HasSubstr(way)));
  }
}

TEST_F(MeshPageTest, ItsPolicyLetsItsOwnScriptRunAndNothingElse) {
  const HttpResponse response = page_.Page();
  std::string policy;
  for (const auto& [name, value] : response.headers) {
    if (name == "Content-Security-Policy") policy = value;
  }
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, HasSubstr("script-src 'sha256-"));
  EXPECT_THAT(policy, HasSubstr("style-src 'sha256-"));
  EXPECT_THAT(policy, HasSubstr("connect-src 'self'"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_THAT(policy, Not(HasSubstr("*")));
}

TEST_F(MeshPageTest, AsksForPatienceUntilItsStateIsGathered) {
  HttpResponse response = page_.State();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.headers, Contains(Pair("Retry-After", "1")));
  while (response.status == 503) {
    std::this_thread::yield();
    response = page_.State();
  }
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("\"trust_domain\":\"td\""));
}

}  // namespace
}  // namespace byrnie
