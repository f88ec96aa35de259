#include "proxy/home_page.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/reason_set.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ProxyConfig Config() {
  ProxyConfig config;
  config.admin = *SocketAddress::Parse("127.0.0.1:15000");
  return config;
}

HomeFacts Facts() {
  HomeFacts facts;
  facts.mesh = std::make_shared<const MeshSnapshot>();
  facts.readiness = "ready";
  facts.now = absl::FromUnixSeconds(1700000000);
  facts.refusals.resize(AllReasons().size());
  facts.refusals_cover = absl::Minutes(5);
  return facts;
}

TEST(HomePageTest, EscapesWhatItShows) {
  HomeFacts facts = Facts();
  facts.readiness = "<script>alert(\"1\")</script>&";
  AccessRecord record;
  record.service = "<script>";
  record.stages.Complete(StageTimes::kDial, absl::Seconds(1));
  facts.ended.emplace_back(record);
  EXPECT_THAT(RenderHome(facts, Config()),
              AllOf(Not(HasSubstr("<script")), HasSubstr("&lt;script&gt;alert(&quot;1&quot;)")));
}

TEST(HomePageTest, LinksEveryPage) {
  const std::string page = RenderHome(Facts(), Config());
  for (const char* path : {"/connections", "/recorder", "/certs", "/config_dump", "/metrics"}) {
    EXPECT_THAT(page, HasSubstr(std::string("<a href=\"") + path + "\">"));
  }
  for (const char* path : {"/logging", "/drain", "/quitquitquit", "/healthz/ready"}) {
    EXPECT_THAT(page, HasSubstr(path));
  }
}

TEST(HomePageTest, ShowsWhatIsRefusedMostFirst) {
  HomeFacts facts = Facts();
  EXPECT_THAT(RenderHome(facts, Config()), HasSubstr("<p>Nothing."));
  facts.refusals[ReasonIndex("tls-failed")] = 3;
  facts.refusals[ReasonIndex("policy-deny")] = 12;
  const std::string page = RenderHome(facts, Config());
  EXPECT_THAT(page, AllOf(HasSubstr("in the last 5m"), Not(HasSubstr("<p>Nothing.")),
                          HasSubstr("<td>3<td><a href=\"/recorder?reason=tls-failed\">")));
  EXPECT_LT(page.find("<td>12<td>"), page.find("<td>3<td>"));
}

TEST(HomePageTest, ShowsTheSlowestStageFirstAndWhoseItWas) {
  HomeFacts facts = Facts();
  EXPECT_THAT(RenderHome(facts, Config()), HasSubstr("<p>None yet."));
  for (int i = 1; i <= 3; ++i) {
    AccessRecord record;
    record.reason = "closed";
    record.original_destination = SocketAddress(*IpAddress::Parse("10.0.0.1"), 8000 + i);
    record.stages.Complete(StageTimes::kPolicy, absl::Milliseconds(1));
    record.stages.Complete(StageTimes::kDial, absl::Milliseconds(1 + 10 * i));
    facts.ended.emplace_back(record);
  }
  const std::string page = RenderHome(facts, Config());
  EXPECT_THAT(page, HasSubstr("<tr><td>dial<td>20.0 ms<td>30.0 ms<td>outbound to 10.0.0.1:8003 "));
  EXPECT_LT(page.find("<td>dial"), page.find("<td>policy"));
}

}  // namespace
}  // namespace byrnie
