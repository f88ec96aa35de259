#include "common/probe/app_probes.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

TEST(AppProbesTest, NothingIsNone) {
  EXPECT_THAT(ParseAppProbes(""), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(ParseAppProbes("{}"), IsOkAndHolds(IsEmpty()));
}

TEST(AppProbesTest, ReadsAllThatAProbeMaySay) {
  ASSERT_OK_AND_ASSIGN(
      const std::vector<AppProbe> probes,
      ParseAppProbes(R"({"app":{"readiness":{"httpGet":{"port":8443,"path":"live z?a#b",
          "scheme":"HTTPS","httpHeaders":[{"name":"Host","value":"a.b"},{"name":"X","value":""}]},
          "timeoutSeconds":7},"startup":{"tcpSocket":{"port":1}}},
          "log-1":{"liveness":{"httpGet":{"port":65535}}}})"));
  ASSERT_THAT(probes, SizeIs(3));
  EXPECT_EQ(probes[0].Path(), "/app-health/app/readiness");
  EXPECT_EQ(probes[0].action, AppProbe::Action::kHttp);
  EXPECT_TRUE(probes[0].url.https);
  EXPECT_EQ(probes[0].url.port, 8443);
  EXPECT_EQ(probes[0].url.target, "/live%20z?a");
  EXPECT_THAT(probes[0].headers, ElementsAre(Pair("Host", "a.b"), Pair("X", "")));
  EXPECT_EQ(probes[0].timeout, absl::Seconds(7));
  EXPECT_EQ(probes[1].Path(), "/app-health/app/startup");
  EXPECT_EQ(probes[1].action, AppProbe::Action::kConnect);
  EXPECT_EQ(probes[1].url.port, 1);
  EXPECT_EQ(probes[1].timeout, absl::Seconds(1));
  EXPECT_EQ(probes[2].Name(), "log-1/liveness");
  EXPECT_EQ(probes[2].url.target, "/");
}

TEST(AppProbesTest, ReadsThoseByGrpc) {
  ASSERT_OK_AND_ASSIGN(
      const std::vector<AppProbe> probes,
      ParseAppProbes(R"({"app":{"readiness":{"grpc":{"port":9090,"service":"shop.Cart"}},
          "liveness":{"grpc":{"port":9091}}}})"));
  ASSERT_THAT(probes, SizeIs(2));
  EXPECT_EQ(probes[0].action, AppProbe::Action::kGrpc);
  EXPECT_EQ(probes[0].url.port, 9090);
  EXPECT_EQ(probes[0].service, "shop.Cart");
  EXPECT_EQ(probes[1].service, "");
}

TEST(AppProbesTest, SaysWhereAndWhatIsWrong) {
  const auto http = [](absl::string_view members) {
    return absl::StrCat(R"({"a":{"liveness":{"httpGet":{)", members, "}}}}");
  };
  const std::pair<std::string, const char*> wrong[] = {
      {"x", "line 1"},
      {"[]", "expected an object"},
      {R"({"A":{}})", "not the name of a container"},
      {R"({"a/b":{}})", "not the name of a container"},
      {R"({"a":{"ready":{}}})", "ready"},
      {R"({"a":{"liveness":{}}})", "a.liveness: expected one of httpGet, tcpSocket and grpc"},
      {R"({"a":{"liveness":{"grpc":{"service":"x"}}}})", "port"},
      {R"({"a":{"liveness":{"grpc":{"port":1,"host":"b"}}}})", "host"},
      {R"({"a":{"liveness":{"grpc":{"port":1},"tcpSocket":{"port":1}}}})", "expected one of"},
      {R"({"a":{"liveness":{"httpGet":{"port":1},"tcpSocket":{"port":1}}}})", "expected one of"},
      {R"({"a":{"liveness":{"tcpSocket":{"port":1},"timeoutSeconds":0}}})", "timeoutSeconds"},
      {R"({"a":{"liveness":{"tcpSocket":{"port":"http"}}}})", "a.liveness.tcpSocket.port"},
      {R"({"a":{"liveness":{"tcpSocket":{"port":1,"host":"b"}}}})", "host"},
      {http(R"("path":"/")"), "port"},
      {http(R"("port":0)"), "port"},
      {http(R"("port":65536)"), "port"},
      {http(R"("port":1,"scheme":"http")"), "expected HTTP or HTTPS"},
      {http(R"("port":1,"host":"b")"), "host"},
      {http(R"("port":1,"httpHeaders":[{"name":"a b","value":"c"}])"), "not the name of a header"},
      {http(R"("port":1,"httpHeaders":[{"name":"a","value":"b\r\nc: d"}])"), "control character"},
      {http(R"("port":1,"httpHeaders":[{"name":"Content-Length","value":"5"}])"), "connection's"},
  };
  for (const auto& [text, what] : wrong) {
    EXPECT_THAT(ParseAppProbes(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)))
        << text;
  }
}

TEST(AppProbesTest, HasBounds) {
  std::string many = "{";
  for (int i = 0; i < 257; ++i) {
    absl::StrAppend(&many, i == 0 ? "" : ",", "\"c", i,
                    R"(":{"liveness":{"tcpSocket":{"port":1}}})");
  }
  EXPECT_THAT(ParseAppProbes(many + "}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 256")));
  EXPECT_THAT(ParseAppProbes(std::string(kMaxAppProbesText + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
