#include "controlplane/kubernetes/ca_bundle_keeper.h"

#include <unistd.h>

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

WebhookConfiguration Configuration(const std::string& pem, const std::string& name = "injector") {
  return {{"", name}, {{"a.byrnie.io", absl::Base64Escape(pem)}}};
}

// What the server answers to a patch: the object as it is then.
std::string Object(const std::string& pem) {
  return absl::StrCat(
      R"({"metadata":{"name":"injector"},"webhooks":[{"name":"a.byrnie.io","clientConfig":)",
      R"({"caBundle":")", absl::Base64Escape(pem), R"("}}]})");
}

class CaBundleKeeperTest : public ::testing::Test {
 protected:
  void Settle() { loop_.AdvanceTime(absl::Milliseconds(1)); }
  std::string InPlace() {
    const std::string text = metrics_.RenderPrometheusText();
    const size_t at = text.find("\nbyrnie_controlplane_webhook_ca_bundle_in_place ");
    return text.substr(text.find(' ', at) + 1, 1);
  }

  ManualEventLoop loop_;
  std::mt19937 random_{5};
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeApiClient client_;
  FakeInformer<WebhookConfiguration> configurations_;
  CaBundleKeeper keeper_{"injector", &configurations_, &client_, &loop_,
                         random_,    &logger_,         &metrics_};
};

TEST_F(CaBundleKeeperTest, WritesItIntoEachWebhookAndIsReadyThen) {
  WebhookConfiguration two = Configuration("");
  two.webhooks.push_back({"b.byrnie.io", ""});
  configurations_.Set({two, Configuration("", "somebody-elses")});
  Settle();
  EXPECT_EQ(client_.size(), 0u) << "there is no bundle yet";
  keeper_.SetBundle("ROOT");
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_EQ(client_.last().target,
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/injector"
            "?fieldManager=byrnie");
  EXPECT_EQ(client_.last().content_type, "application/strategic-merge-patch+json");
  EXPECT_EQ(client_.last().body,
            R"({"webhooks":[{"name":"a.byrnie.io","clientConfig":{"caBundle":"Uk9PVA=="}},)"
            R"({"name":"b.byrnie.io","clientConfig":{"caBundle":"Uk9PVA=="}}]})");
  EXPECT_THAT(keeper_.CheckReady(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("\"injector\"")));
  client_.Answer(200, Object("ROOT"));
  EXPECT_THAT(keeper_.CheckReady(), IsOk());
  EXPECT_EQ(InPlace(), "1");
  configurations_.Put(Configuration("ROOT"));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
}

TEST_F(CaBundleKeeperTest, WritesNothingWhereItIsThereAlready) {
  keeper_.SetBundle("ROOT");
  configurations_.Set({Configuration("ROOT")});
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 0u);
  EXPECT_THAT(keeper_.CheckReady(), IsOk());
}

TEST_F(CaBundleKeeperTest, WritesTheNextOneAtOnceAndPutsItBackAfterAWhile) {
  keeper_.SetBundle("ROOT 1");
  configurations_.Set({Configuration("ROOT 1")});
  keeper_.SetBundle("ROOT 2");
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  client_.Answer(200, Object("ROOT 2"));
  configurations_.Put(Configuration("ROOT 2"));
  EXPECT_EQ(InPlace(), "1");
  // Another control plane, which has not heard of the new root yet.
  configurations_.Put(Configuration("ROOT 1"));
  loop_.AdvanceTime(CaBundleKeeper::kPatience - absl::Milliseconds(1));
  EXPECT_EQ(client_.size(), 1u);
  EXPECT_EQ(InPlace(), "0");
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_EQ(client_.size(), 2u);
  EXPECT_THAT(keeper_.CheckReady(), IsOk()) << "it is there for more than the webhook";
}

TEST_F(CaBundleKeeperTest, SaysThatAnotherInstallationKeepsTheSameObject) {
  keeper_.SetBundle("OURS");
  configurations_.Set({Configuration("OURS")});
  for (int i = 1; i <= CaBundleKeeper::kContested; ++i) {
    EXPECT_FALSE(keeper_.contested()) << i;
    configurations_.Put(Configuration("THEIRS"));
    loop_.AdvanceTime(CaBundleKeeper::kPatience);
    client_.Answer(200, Object("OURS"));
    configurations_.Put(Configuration("OURS"));
  }
  EXPECT_TRUE(keeper_.contested());
  loop_.AdvanceTime(CaBundleKeeper::kCalm);
  EXPECT_FALSE(keeper_.contested());
}

// As control planes of one store do while they hear of a new root.
TEST_F(CaBundleKeeperTest, NowAndThenItMayBeUndone) {
  keeper_.SetBundle("OURS");
  configurations_.Set({Configuration("OURS")});
  for (int i = 0; i < 2 * CaBundleKeeper::kContested; ++i) {
    configurations_.Put(Configuration("OLD"));
    loop_.AdvanceTime(CaBundleKeeper::kPatience);
    client_.Answer(200, Object("OURS"));
    configurations_.Put(Configuration("OURS"));
    loop_.AdvanceTime(CaBundleKeeper::kCalm);
    EXPECT_FALSE(keeper_.contested());
  }
}

TEST_F(CaBundleKeeperTest, LetsStandWhatHasBecomeRightMeanwhile) {
  keeper_.SetBundle("ROOT 1");
  configurations_.Set({Configuration("ROOT 1")});
  configurations_.Put(Configuration("ROOT 2"));
  keeper_.SetBundle("ROOT 2");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 0u);
}

TEST_F(CaBundleKeeperTest, TriesAgainAndWritesWhatIsWantedByThen) {
  configurations_.Set({Configuration("")});
  keeper_.SetBundle("ROOT 1");
  Settle();
  keeper_.SetBundle("ROOT 2");
  client_.Answer(403, "{}");
  EXPECT_FALSE(keeper_.CheckReady().ok());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_EQ(client_.size(), 2u);
  EXPECT_THAT(client_.last().body, HasSubstr(absl::Base64Escape("ROOT 2")));
  // It took what was wanted before.
  client_.Answer(200, Object("ROOT 1"));
  EXPECT_FALSE(keeper_.CheckReady().ok());
  loop_.AdvanceTime(CaBundleKeeper::kPatience);
  ASSERT_EQ(client_.size(), 3u);
  client_.Answer(200, Object("ROOT 2"));
  EXPECT_THAT(keeper_.CheckReady(), IsOk());
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              AllOf(HasSubstr("ca_bundle_writes_total{result=\"ok\"} 2\n"),
                    HasSubstr("ca_bundle_writes_total{result=\"failed\"} 1\n")));
}

TEST_F(CaBundleKeeperTest, WaitsForNothingThatIsNotThere) {
  keeper_.SetBundle("ROOT");
  EXPECT_FALSE(keeper_.CheckReady().ok()) << "nobody knows yet";
  configurations_.Set({});
  EXPECT_THAT(keeper_.CheckReady(), IsOk());
  EXPECT_EQ(InPlace(), "0");
  configurations_.Set({Configuration("")});
  Settle();
  EXPECT_EQ(client_.size(), 1u);
  // And is gone again while it is written.
  configurations_.Set({});
  client_.Answer(404, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
}

TEST(WebhookConfigurationTest, IsWhatTheApiSays) {
  const auto parse = [](absl::string_view text) {
    return ParseWebhookConfiguration(JsonValue::Parse(text, 10000).value());
  };
  ASSERT_OK_AND_ASSIGN(const WebhookConfiguration found, parse(Object("ROOT")));
  EXPECT_EQ(found, Configuration("ROOT"));
  ASSERT_OK_AND_ASSIGN(const WebhookConfiguration none, parse(R"({"metadata":{"name":"a"}})"));
  EXPECT_TRUE(none.webhooks.empty());
  EXPECT_THAT(parse(R"({"metadata":{"name":"a"},"webhooks":[{"name":"b"}]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("clientConfig")));
}

}  // namespace
}  // namespace byrnie
