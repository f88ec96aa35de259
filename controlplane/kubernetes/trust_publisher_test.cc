#include "controlplane/kubernetes/trust_publisher.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kOurs[] = "-----BEGIN CERTIFICATE-----\\nAAAA\\nBBBB\\n-----END CERTIFICATE-----\\n";

std::string Root(const std::string& body) {
  return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n";
}

// A ConfigMap with a bundle, in the JSON of an API server.
std::string Map(const std::string& escaped_pem) {
  return R"({"kind": "ConfigMap", "metadata": {"name": "byrnie-trust-bundle", "namespace": "n"}, "data": {"bundle.pem": ")" +
         escaped_pem + R"("}})";
}

LabelledObject Namespace(const std::string& name, const std::string& value) {
  return {{"", name}, {{"byrnie.io/inject", value}}};
}

class TrustPublisherTest : public ::testing::Test {
 protected:
  // No namespace has any yet.
  TrustPublisherTest() { bundles_.Set({}); }
  ~TrustPublisherTest() override { fclose(log_); }
  void Settle() { loop_.AdvanceTime(absl::Milliseconds(1)); }
  // How often it was.
  int Logged(const std::string& message) const {
    std::string text(1 << 16, '\0');
    const ssize_t size = pread(fileno(log_), &text[0], text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    const std::vector<std::string> parts = absl::StrSplit(text, message);
    return static_cast<int>(parts.size()) - 1;
  }
  // Lets it look at a namespace that has no bundle yet.
  void Look() {
    ASSERT_TRUE(client_.last_open());
    ASSERT_EQ(client_.last().method, "GET");
    client_.Answer(404, "{}");
    Settle();
  }

  ManualEventLoop loop_;
  std::mt19937 random_{5};
  FILE* const log_ = tmpfile();
  Logger logger_{fileno(log_), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeApiClient client_;
  FakeInformer<LabelledObject> namespaces_;
  FakeInformer<PublishedBundle> bundles_;
  TrustPublisher publisher_{"home", &namespaces_, &bundles_, &client_,
                            &loop_, random_,      &logger_,  &metrics_};
};

TEST_F(TrustPublisherTest, WritesToMeshedNamespacesAlone) {
  namespaces_.Set({Namespace("demo", "true"), Namespace("other", "false"), {{"", "plain"}, {}}});
  Settle();
  EXPECT_EQ(client_.size(), 0u);
  publisher_.SetBundle("PEM 1");
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  EXPECT_EQ(client_.last().target, "/api/v1/namespaces/demo/configmaps/byrnie-trust-bundle");
  Look();
  ASSERT_EQ(client_.size(), 2u);
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_THAT(client_.last().target,
              StartsWith("/api/v1/namespaces/demo/configmaps/byrnie-trust-bundle?"));
  EXPECT_EQ(client_.last().content_type, "application/apply-patch+yaml");
  EXPECT_THAT(client_.last().body, HasSubstr(R"("data":{"bundle.pem":"PEM 1"})"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_EQ(client_.size(), 2u);
}

TEST_F(TrustPublisherTest, WritesAgainWhenTheBundleIsAnother) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle("PEM 1");
  Settle();
  Look();
  // While the first is under way.
  publisher_.SetBundle("PEM 2");
  Settle();
  EXPECT_EQ(client_.size(), 2u);
  client_.Answer(200, "{}");
  Settle();
  Look();
  ASSERT_EQ(client_.size(), 4u);
  EXPECT_THAT(client_.last().body, HasSubstr("PEM 2"));
  client_.Answer(200, "{}");
  publisher_.SetBundle("PEM 2");
  publisher_.SetBundle("");
  Settle();
  EXPECT_EQ(client_.size(), 4u);
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

PublishedBundle Bundle(const std::string& ns, const std::string& pem) {
  return {{ns, TrustPublisher::kConfigMap}, pem};
}

TEST_F(TrustPublisherTest, PutsBackWhatSomebodyHasDeletedOrChanged) {
  namespaces_.Set({Namespace("demo", "true"), Namespace("other", "false")});
  publisher_.SetBundle("PEM");
  Settle();
  Look();
  client_.Answer(200, "{}");
  // What it has written itself is seen, too.
  bundles_.Set({Bundle("demo", "PEM"), Bundle("other", "PEM")});
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 2u);

  bundles_.Remove({"demo", TrustPublisher::kConfigMap});
  bundles_.Remove({"other", TrustPublisher::kConfigMap});
  loop_.AdvanceTime(TrustPublisher::kRepairAfter);
  Settle();
  ASSERT_EQ(client_.size(), 3u);
  Look();
  EXPECT_THAT(client_.last().target, HasSubstr("/demo/"));
  EXPECT_EQ(client_.last().method, "PATCH");
  client_.Answer(200, "{}");
  bundles_.Put(Bundle("demo", "PEM"));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 4u);

  // However often it is done meanwhile, and whatever else is called so elsewhere.
  for (const char* pem : {"", "other", ""}) bundles_.Put(Bundle("demo", pem));
  bundles_.Put({{"demo", "another"}, ""});
  loop_.AdvanceTime(TrustPublisher::kRepairAfter);
  Settle();
  ASSERT_EQ(client_.size(), 5u);
}

TEST_F(TrustPublisherTest, PutsNothingIntoWhatIsBeingDeleted) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  Look();
  client_.Answer(200, "{}");
  bundles_.Set({Bundle("demo", "PEM")});
  LabelledObject going = Namespace("demo", "true");
  going.terminating = true;
  namespaces_.Set({going});
  bundles_.Set({});
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 2u);
}

TEST_F(TrustPublisherTest, LeavesWhatAnotherMeshHasLostToThatForAWhile) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle(Root("MINE"));
  Settle();
  client_.Answer(200, Map(kOurs));
  Settle();
  bundles_.Set({Bundle("demo", Root("theirs"))});
  bundles_.Set({});
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_EQ(client_.size(), 1u);
  loop_.AdvanceTime(TrustPublisher::kWhileForeign);
  ASSERT_EQ(client_.size(), 2u);
}

TEST_F(TrustPublisherTest, TriesAgainWithoutForgettingTheOthers) {
  namespaces_.Set({Namespace("a", "true"), Namespace("b", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  Look();
  Look();
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  client_.Fail(absl::UnavailableError("down"));
  loop_.AdvanceTime(absl::Seconds(1));
  // Which is looked at again.
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  Look();
  EXPECT_THAT(client_.last().target, HasSubstr("/b/"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  // A namespace that is being deleted.
  const size_t asked = client_.size();
  client_.Answer(403, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), asked);
}

TEST_F(TrustPublisherTest, LooksAgainWhenItCouldNot) {
  namespaces_.Set({Namespace("a", "true"), Namespace("b", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  client_.Fail(absl::UnavailableError("down"));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(client_.last().target, HasSubstr("/b/"));
  // Where it may not be looked nothing is written.
  client_.Answer(403, "{}");
  Settle();
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  Look();
  EXPECT_EQ(client_.last().method, "PATCH");
  client_.Answer(200, "{}");
  const size_t asked = client_.size();
  Settle();
  EXPECT_EQ(client_.size(), asked);
}

TEST_F(TrustPublisherTest, WaitsLongerEachTimeThatAWriteFails) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  // It may look there, and something keeps it from writing.
  for (int i = 0; i < 6; ++i) {
    Look();
    ASSERT_EQ(client_.last().method, "PATCH");
    client_.Answer(500, "{}");
    loop_.AdvanceTime(absl::Minutes(1));
  }
  Look();
  client_.Answer(500, "{}");
  const size_t asked = client_.size();
  loop_.AdvanceTime(absl::Seconds(5));
  EXPECT_EQ(client_.size(), asked);
  loop_.AdvanceTime(absl::Minutes(1));
  Look();
  client_.Answer(200, "{}");
  Settle();
  // And soon again once one has succeeded.
  publisher_.SetBundle("PEM 2");
  Settle();
  Look();
  client_.Answer(500, "{}");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().method, "GET");
}

// A policy, a quota or an admission webhook may be against it in one of them.
TEST_F(TrustPublisherTest, OneThatCannotBeWrittenHoldsUpNoOther) {
  namespaces_.Set({Namespace("a", "true"), Namespace("b", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  int in_a = 0, in_b = 0;
  const auto serve = [&] {
    while (client_.last_open()) {
      const bool a = absl::StrContains(client_.last().target, "/a/");
      if (client_.last().method == "GET") {
        client_.Answer(404, "{}");
      } else {
        ++(a ? in_a : in_b);
        client_.Answer(a ? 422 : 200, "{}");
      }
      Settle();
    }
  };
  serve();
  EXPECT_EQ(in_a, 1);
  EXPECT_EQ(in_b, 1);
  // Until it waits for long.
  for (int i = 0; i < 8; ++i) {
    loop_.AdvanceTime(absl::Minutes(1));
    serve();
  }
  EXPECT_EQ(in_a, 9);
  bundles_.Set({Bundle("b", "PEM")});
  bundles_.Remove({"b", TrustPublisher::kConfigMap});
  loop_.AdvanceTime(TrustPublisher::kRepairAfter);
  Settle();
  serve();
  EXPECT_EQ(in_b, 2);
  // Nor does the success of one begin the waits of another anew.
  loop_.AdvanceTime(absl::Seconds(5));
  serve();
  EXPECT_EQ(in_a, 9);
}

// What is in it might be another mesh's; one that stays unreadable is that namespace's own trouble.
TEST_F(TrustPublisherTest, OneThatCannotBeLookedAtHoldsUpTheOthersForAFewSeconds) {
  namespaces_.Set({Namespace("a", "true"), Namespace("b", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  for (int i = 0; i < TrustPublisher::kLooksBeforeOthers; ++i) {
    ASSERT_THAT(client_.last().target, HasSubstr("/a/")) << i;
    client_.Answer(500, "{}");
    Settle();
    if (i == 0) {
      ASSERT_THAT(client_.last().target, HasSubstr("/b/"));
      Look();
      EXPECT_FALSE(client_.last_open());
    }
    if (i + 1 < TrustPublisher::kLooksBeforeOthers) loop_.AdvanceTime(absl::Seconds(5));
  }
  EXPECT_THAT(client_.last().target, HasSubstr("/b/"));
  EXPECT_EQ(client_.last().method, "PATCH");
}

// One that was made anew is not the one that could not be written.
TEST_F(TrustPublisherTest, ForgetsTheTroubleOfANamespaceThatIsGone) {
  namespaces_.Set({Namespace("a", "true")});
  publisher_.SetBundle("PEM");
  Settle();
  for (int i = 0; i < 7; ++i) {
    Look();
    client_.Answer(422, "{}");
    if (i < 6) loop_.AdvanceTime(absl::Minutes(1));
  }
  Settle();
  const size_t asked = client_.size();
  namespaces_.Set({});
  namespaces_.Set({Namespace("a", "true")});
  Settle();
  EXPECT_EQ(client_.size(), asked + 1);
}

// The answer to what was under way comes after it was forgotten.
TEST_F(TrustPublisherTest, SaysNothingOfANamespaceThatIsGone) {
  publisher_.SetBundle("PEM");
  for (int i = 1; i <= 2; ++i) {
    namespaces_.Set({Namespace("a", "true")});
    Settle();
    namespaces_.Set({});
    client_.Answer(403, "{}");
    Settle();
    EXPECT_THAT(publisher_.unwritten(), ElementsAre());
    EXPECT_EQ(Logged("cannot look at the trust bundle"), i - 1);
    // Nor is it known when it is there again, as another.
    namespaces_.Set({Namespace("a", "true")});
    Settle();
    client_.Answer(403, "{}");
    Settle();
    EXPECT_THAT(publisher_.unwritten(), ElementsAre(HasSubstr("a (")));
    EXPECT_EQ(Logged("cannot look at the trust bundle"), i);
    namespaces_.Set({});
    Settle();
  }
}

TEST_F(TrustPublisherTest, WritesFromTimeToTimeAnyway) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  Look();
  client_.Answer(200, "{}");
  loop_.AdvanceTime(TrustPublisher::kEvery);
  Settle();
  EXPECT_EQ(client_.last().method, "GET");
  // Broken otherwise than by line ends.
  client_.Answer(200, Map(kOurs));
  Settle();
  EXPECT_EQ(client_.last().method, "PATCH");
}

TEST_F(TrustPublisherTest, RepairsWhatIsDamaged) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  for (const char* damaged : {"{}", "no JSON", R"({"data": {"other": "a"}})",
                              R"({"data": {"bundle.pem": "-----BEGIN CERTIFICATE-----"}})"}) {
    client_.Answer(200, damaged);
    Settle();
    EXPECT_EQ(client_.last().method, "PATCH") << damaged;
    client_.Answer(200, "{}");
    loop_.AdvanceTime(TrustPublisher::kEvery);
    Settle();
    ASSERT_EQ(client_.last().method, "GET");
  }
}

TEST_F(TrustPublisherTest, AGrowingAndAShrinkingBundleIsOurs) {
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle(Root("AAAABBBB") + Root("CCCC"));
  Settle();
  client_.Answer(200, Map(kOurs));
  Settle();
  EXPECT_EQ(client_.last().method, "PATCH");
}

TEST_F(TrustPublisherTest, WritesNowhereWhileAnotherMeshIsThere) {
  namespaces_.Set({Namespace("a", "true"), Namespace("theirs", "true"), Namespace("z", "true")});
  publisher_.SetBundle(Root("CCCC"));
  Settle();
  Look();
  client_.Answer(200, Map(kOurs));
  Settle();
  Look();
  EXPECT_EQ(client_.size(), 3u);
  // Nor to one that is meshed later.
  namespaces_.Set(
      {Namespace("a", "true"), Namespace("later", "true"), Namespace("theirs", "true")});
  Settle();
  Look();
  EXPECT_EQ(client_.size(), 4u);
  EXPECT_FALSE(client_.last_open());
  // Until it is gone.
  loop_.AdvanceTime(TrustPublisher::kWhileForeign);
  Settle();
  Look();
  Look();
  Look();
  EXPECT_EQ(client_.last().method, "PATCH");
}

// What the writers of one namespace put there is that namespace's own matter.
TEST_F(TrustPublisherTest, OverwritesForeignRootsOnceOursAreAnywhere) {
  namespaces_.Set({Namespace("a", "true"), Namespace("mine", "true"), Namespace("z", "true")});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  client_.Answer(200, Map(kOurs));
  Settle();
  ASSERT_THAT(client_.last().target, HasSubstr("/mine/"));
  client_.Answer(200, Map("-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"));
  Settle();
  Look();
  for (const char* ns : {"/a/", "/mine/", "/z/"}) {
    EXPECT_EQ(client_.last().method, "PATCH");
    EXPECT_THAT(client_.last().target, HasSubstr(ns));
    client_.Answer(200, "{}");
    Settle();
  }
  EXPECT_EQ(publisher_.refused_by(), "");
  EXPECT_THAT(publisher_.overwritten(), ElementsAre("mine"));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("trust_bundle_writes_total{result=\"overwritten\"} 1\n"));
  // And is not told for ever.
  for (int i = 0; i < 2; ++i) {
    loop_.AdvanceTime(TrustPublisher::kEvery);
    Settle();
    while (client_.last_open()) {
      client_.Answer(200, Map(kOurs));
      Settle();
    }
  }
  EXPECT_THAT(publisher_.overwritten(), ElementsAre());
}

// Neither it, nor one that it is in the way of, waits for the other.
TEST_F(TrustPublisherTest, ForeignRootsThatComeLaterAreInNobodysWay) {
  namespaces_.Set({Namespace("a", "true"), Namespace("mine", "true")});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  Look();
  Look();
  client_.Answer(200, "{}");
  Settle();
  client_.Answer(200, "{}");
  Settle();
  bundles_.Set({Bundle("a", Root("AAAABBBB")), Bundle("mine", Root("x"))});
  bundles_.Remove({"a", TrustPublisher::kConfigMap});
  loop_.AdvanceTime(TrustPublisher::kRepairAfter);
  Settle();
  Look();
  client_.Answer(200, Map("-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"));
  Settle();
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_THAT(client_.last().target, HasSubstr("/a/"));
  // Which cannot be put right there, as where it is immutable.
  client_.Answer(200, "{}");
  Settle();
  EXPECT_THAT(client_.last().target, HasSubstr("/mine/"));
  client_.Answer(422, "{}");
  namespaces_.Set({Namespace("a", "true"), Namespace("later", "true"), Namespace("mine", "true")});
  Settle();
  Look();
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_THAT(client_.last().target, HasSubstr("/later/"));
  EXPECT_THAT(publisher_.overwritten(), ElementsAre());
  EXPECT_THAT(publisher_.unwritten(), ElementsAre(HasSubstr("mine (")));
  namespaces_.Set({Namespace("a", "true"), Namespace("later", "true")});
  EXPECT_THAT(publisher_.unwritten(), ElementsAre());
}

TEST_F(TrustPublisherTest, TheHomeSaysAfterAStartWhoseTheMeshIs) {
  namespaces_.Set({{{"", "home"}, {}}, Namespace("mine", "true"), {{"", "plain"}, {}}});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  ASSERT_THAT(client_.last().target, HasSubstr("/home/"));
  client_.Answer(200, Map(kOurs));
  Settle();
  ASSERT_THAT(client_.last().target, HasSubstr("/mine/"));
  client_.Answer(200, Map("-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"));
  Settle();
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_THAT(client_.last().target, HasSubstr("/home/"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_THAT(client_.last().target, HasSubstr("/mine/"));
  client_.Answer(200, "{}");
  Settle();
  EXPECT_EQ(client_.size(), 4u);
}

// Two that begin before any namespace is meshed know of each other by their homes.
TEST_F(TrustPublisherTest, AForeignBundleWhereItDoesNotWriteIsAnotherMesh) {
  bundles_.Set({Bundle("other-home", Root("theirs"))});
  namespaces_.Set({{{"", "home"}, {}}, {{"", "other-home"}, {}}});
  publisher_.SetBundle(Root("MINE"));
  Settle();
  Look();
  EXPECT_EQ(client_.size(), 1u);
  EXPECT_EQ(publisher_.refused_by(), "other-home");
  bundles_.Set({});
  loop_.AdvanceTime(TrustPublisher::kWhileForeign);
  Settle();
  Look();
  EXPECT_EQ(client_.last().method, "PATCH");
  client_.Answer(200, "{}");
  Settle();
  EXPECT_EQ(publisher_.refused_by(), "");
}

TEST_F(TrustPublisherTest, WaitsForAWhileToKnowOfAllBundles) {
  FakeInformer<PublishedBundle> none;
  FakeInformer<LabelledObject> namespaces;
  MetricRegistry metrics;
  TrustPublisher publisher("home", &namespaces, &none, &client_, &loop_, random_, &logger_,
                           &metrics);
  namespaces.Set({Namespace("a", "true")});
  publisher.SetBundle("PEM");
  Settle();
  Look();
  EXPECT_EQ(client_.size(), 1u);
  loop_.AdvanceTime(TrustPublisher::kForList);
  Settle();
  EXPECT_EQ(client_.last().method, "PATCH");
}

// Each beginning would else be read to the one end, in as much memory.
TEST_F(TrustPublisherTest, ManyBeginningsOfOneCertificateAreOne) {
  std::string many;
  for (int i = 0; i < 30'000; ++i) many += "-----BEGIN CERTIFICATE-----";
  namespaces_.Set({Namespace("demo", "true")});
  publisher_.SetBundle(Root("AAAABBBB"));
  Settle();
  client_.Answer(200, Map(many + "-----END CERTIFICATE-----"));
  Settle();
  EXPECT_EQ(publisher_.refused_by(), "demo");
}

}  // namespace
}  // namespace byrnie
