#include "controlplane/kubernetes/trust_publisher.h"

#include <unistd.h>

#include <memory>
#include <random>
#include <string>

#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

LabelledObject Namespace(const std::string& name, const std::string& value) {
  return {{"", name}, {{"byrnie.io/inject", value}}};
}

class TrustPublisherTest : public ::testing::Test {
 protected:
  void Settle() { loop_.AdvanceTime(absl::Milliseconds(1)); }

  ManualEventLoop loop_;
  std::mt19937 random_{5};
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeApiClient client_;
  FakeInformer<LabelledObject> namespaces_;
  TrustPublisher publisher_{&namespaces_, &client_, &loop_, random_, &logger_, &metrics_};
};

TEST_F(TrustPublisherTest, WritesToMeshedNamespacesAlone) {
  namespaces_.Set({Namespace("demo", "true"), Namespace("other", "false"), {{"", "plain"}, {}}});
  Settle();
  EXPECT_EQ(client_.size(), 0u);
  publisher_.SetBundle("PEM 1");
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_THAT(client_.last().target,
              StartsWith("/api/v1/namespaces/demo/configmaps/byrnie-trust-bundle?"));
  EXPECT_EQ(client_.last().content_type, "application/apply-patch+yaml");
  EXPECT_THAT(client_.last().body, HasSubstr(R"("data":{"bundle.pem":"PEM 1"})"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_EQ(client_.size(), 1u);
}

TEST_F(TrustPublisherTest, WritesAgainWhenTheBundleIsAnother) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle("PEM 1");
  Settle();
  // While the first is under way.
  publisher_.SetBundle("PEM 2");
  Settle();
  EXPECT_EQ(client_.size(), 1u);
  client_.Answer(200, "{}");
  Settle();
  ASSERT_EQ(client_.size(), 2u);
  EXPECT_THAT(client_.last().body, HasSubstr("PEM 2"));
  client_.Answer(200, "{}");
  publisher_.SetBundle("PEM 2");
  publisher_.SetBundle("");
  Settle();
  EXPECT_EQ(client_.size(), 2u);
}

TEST_F(TrustPublisherTest, WritesToANamespaceOnceItIsMeshed) {
  publisher_.SetBundle("PEM");
  namespaces_.Set({Namespace("demo", "false")});
  Settle();
  EXPECT_EQ(client_.size(), 0u);
  namespaces_.Set({Namespace("demo", "true")});
  Settle();
  EXPECT_EQ(client_.size(), 1u);
}

TEST_F(TrustPublisherTest, TriesAgainWithoutForgettingTheOthers) {
  namespaces_.Set({Namespace("a", "true"), Namespace("b", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  client_.Fail(absl::UnavailableError("down"));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(client_.last().target, HasSubstr("/b/"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  // A namespace that is being deleted.
  client_.Answer(403, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 3u);
}

TEST_F(TrustPublisherTest, WritesFromTimeToTimeAnyway) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  client_.Answer(200, "{}");
  loop_.AdvanceTime(TrustPublisher::kEvery);
  Settle();
  EXPECT_EQ(client_.size(), 2u);
}

}  // namespace
}  // namespace byrnie
