#include "common/probe/probe_url.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string Followed(absl::string_view location, absl::string_view host = "10.0.0.7",
                     const ProbeUrl& from = {false, 8080, "/a/b?c=d"}) {
  const absl::StatusOr<absl::optional<ProbeUrl>> to =
      FollowRedirect(from, *IpAddress::Parse(host), location);
  if (!to.ok()) return absl::StrCat("error: ", to.status().message());
  if (!to->has_value()) return "elsewhere";
  return absl::StrCat((*to)->https ? "https" : "http", " ", (*to)->port, " ", (*to)->target);
}

TEST(ProbeUrlTest, ATargetIsWhatMayGoOverTheWire) {
  EXPECT_EQ(ProbeTarget("/healthz"), "/healthz");
  EXPECT_EQ(ProbeTarget("healthz"), "/healthz");
  EXPECT_EQ(ProbeTarget(""), "/");
  EXPECT_EQ(ProbeTarget("/a?b=c&d=%20"), "/a?b=c&d=%20");
  EXPECT_EQ(ProbeTarget("/a#b"), "/a");
  EXPECT_EQ(ProbeTarget("/a b\r\nX: y"), "/a%20b%0D%0AX:%20y");
  EXPECT_EQ(ProbeTarget("/%zz\xc3\xbc"), "/%25zz%C3%BC");
}

TEST(ProbeUrlTest, FollowsWhatStaysOnTheHost) {
  EXPECT_EQ(Followed("/ready"), "http 8080 /ready");
  EXPECT_EQ(Followed("ready?x"), "http 8080 /a/ready?x");
  EXPECT_EQ(Followed("../ready"), "http 8080 /ready");
  EXPECT_EQ(Followed("../../../x/./y/.."), "http 8080 /x/");
  EXPECT_EQ(Followed("?e"), "http 8080 /a/b?e");
  EXPECT_EQ(Followed("#part"), "http 8080 /a/b?c=d");
  EXPECT_EQ(Followed("http://10.0.0.7:9090/x#y"), "http 9090 /x");
  EXPECT_EQ(Followed("HTTPS://10.0.0.7"), "https 443 /");
  EXPECT_EQ(Followed("//user:word@10.0.0.7?q"), "http 80 /?q");
  EXPECT_EQ(Followed("http://10.0.0.7:/x"), "http 80 /x");
  EXPECT_EQ(Followed("http://[fd00::7]:1/x", "fd00::7"), "http 1 /x");
  EXPECT_EQ(Followed("//10.0.0.7/x", "10.0.0.7", {true, 1, "/"}), "https 443 /x");
  EXPECT_EQ(Followed("/a b\nc"), "http 8080 /a%20b%0Ac");
}

TEST(ProbeUrlTest, LeavesOtherHostsAlone) {
  EXPECT_EQ(Followed("http://10.0.0.8/x"), "elsewhere");
  EXPECT_EQ(Followed("http://example.com/x"), "elsewhere");
  EXPECT_EQ(Followed("//localhost"), "elsewhere");
  EXPECT_EQ(Followed("http:///x"), "elsewhere");
  EXPECT_EQ(Followed("mailto:me"), "elsewhere");
  EXPECT_EQ(Followed("ftp://example.com/x"), "elsewhere");
}

TEST(ProbeUrlTest, KnowsWhatIsNoUrl) {
  for (const char* const location :
       {"http:x", "ftp://10.0.0.7/", "http://10.0.0.7:0/", "http://10.0.0.7:65536/",
        "http://10.0.0.7:-1/", "http://[10.0.0.7/", "1:2", "http://[::1]x/"}) {
    EXPECT_EQ(Followed(location).substr(0, 6), "error:") << location;
  }
}

}  // namespace
}  // namespace byrnie
