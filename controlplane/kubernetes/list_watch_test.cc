#include "controlplane/kubernetes/list_watch.h"

#include <unistd.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Object(absl::string_view name, int version) {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(","resourceVersion":")", version,
                      R"("}})");
}
std::string Event(absl::string_view type, absl::string_view name, int version) {
  return absl::StrCat(R"({"type":")", type, R"(","object":)", Object(name, version), "}\n");
}
std::string Page(std::vector<std::string> names, int version, absl::string_view next = "") {
  std::vector<std::string> items;
  for (const std::string& name : names) items.push_back(Object(name, 1));
  return absl::StrCat(R"({"kind":"PodList","metadata":{"resourceVersion":")", version,
                      R"(","continue":")", next, R"("},"items":[)", absl::StrJoin(items, ","),
                      "]}");
}

class ListWatchTest : public ::testing::Test, public ListWatch::Sink {
 protected:
  void Start(ListWatch::Options options = {}) {
    options.name = "pods";
    if (options.paths.empty()) options.paths = {"/api/v1/pods"};
    watch_ = std::make_unique<ListWatch>(std::move(options), &client_, &loop_, random_, this,
                                         &logger_, &metrics_);
    loop_.RunUntilIdle();
    loop_.AdvanceTime(absl::ZeroDuration());
  }
  ~ListWatchTest() override { watch_.reset(); }

  static std::string NameOf(const JsonValue& object) {
    return *object.AsObject()->GetObject("metadata")->GetString("name");
  }
  void OnListBegin() override { told_.push_back("begin"); }
  void OnListed(const JsonValue& object) override { told_.push_back(NameOf(object)); }
  void OnListEnd() override { told_.push_back("end"); }
  void OnPut(const JsonValue& object) override { told_.push_back("+" + NameOf(object)); }
  void OnDelete(const JsonValue& object) override { told_.push_back("-" + NameOf(object)); }
  void OnEventsEnd() override {}

  std::vector<std::string> Told() { return std::exchange(told_, {}); }
  void Settle() { loop_.AdvanceTime(absl::Milliseconds(1)); }
  // Lists nothing, at version 5, and watches.
  void Sync() {
    Start();
    client_.Answer(200, Page({}, 5));
    Settle();
    Told();
    ASSERT_THAT(client_.last().target, HasSubstr("watch=1"));
  }
  // Before it watches again: the server has come to `version`, as a list of one object says.
  void AnswerCheck(absl::string_view version) {
    ASSERT_EQ(client_.last().target, "/api/v1/pods?limit=1");
    client_.Answer(200,
                   absl::StrCat(R"({"kind":"PodList","metadata":{"resourceVersion":")", version,
                                R"(","continue":"more"},"items":[)", Object("a", 1), "]}"));
    Settle();
  }
  bool Watching() {
    return client_.last_open() && absl::StrContains(client_.last().target, "watch=1");
  }
  std::string Metrics() { return metrics_.RenderPrometheusText(); }

  ManualEventLoop loop_;
  std::mt19937 random_{7};
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeApiClient client_;
  std::vector<std::string> told_;
  std::unique_ptr<ListWatch> watch_;
};

TEST_F(ListWatchTest, ListsPageByPageThenWatchesFromThere) {
  Start();
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
  client_.Answer(200, Page({"a", "b"}, 5, "t/1"));
  Settle();
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500&continue=t%2f1");
  client_.Answer(200, Page({"c"}, 5));
  Settle();
  EXPECT_THAT(Told(), ElementsAre("begin", "a", "b", "c", "end"));
  EXPECT_THAT(client_.last().target,
              StartsWith("/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=5&"
                         "timeoutSeconds="));
}

TEST_F(ListWatchTest, TellsOfEventsHoweverTheyAreCut) {
  Sync();
  const std::string events =
      absl::StrCat(Event("ADDED", "a", 6), Event("MODIFIED", "a", 7), Event("DELETED", "a", 8));
  for (const char c : events) client_.Stream(absl::string_view(&c, 1));
  EXPECT_THAT(Told(), ElementsAre("+a", "+a", "-a"));
}

TEST_F(ListWatchTest, WatchesAgainFromTheLastVersionItHeardOf) {
  Sync();
  client_.Stream(Event("ADDED", "a", 6));
  client_.Stream(Event("BOOKMARK", "", 9));
  client_.Answer(200, "");
  Settle();
  // The server has come further: what came between is what the watch is to tell of.
  AnswerCheck("12");
  EXPECT_THAT(client_.last().target, HasSubstr("resourceVersion=9&"));
  EXPECT_THAT(Told(), ElementsAre("+a"));
}

// A real server takes a watch from a version that it has not come to, and tells nothing below it.
TEST_F(ListWatchTest, ListsAnewWhenTheServerIsNotAsFarAsItWas) {
  // Not by their texts: "9" is before "10".
  for (const auto& [known, now] : {std::make_pair(9, "8"), std::make_pair(10, "9"),
                                   std::make_pair(1000, "999"), std::make_pair(7, "0")}) {
    Sync();
    client_.Stream(Event("ADDED", "a", known));
    client_.Answer(200, "");
    Settle();
    AnswerCheck(now);
    EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500") << known << " " << now;
    client_.Answer(200, Page({"b"}, 6));
    Settle();
    EXPECT_THAT(Told(), ElementsAre("+a", "begin", "b", "end"));
    EXPECT_THAT(client_.last().target, HasSubstr("watch=1"));
    EXPECT_THAT(client_.last().target, HasSubstr("resourceVersion=6&"));
    watch_.reset();
  }
  EXPECT_THAT(Metrics(),
              HasSubstr("byrnie_controlplane_kubernetes_set_back_total{resource=\"pods\"} 4\n"));
}

TEST_F(ListWatchTest, ListsAnewWhenAWatchHearsOfALowerVersion) {
  for (const char* type : {"BOOKMARK", "ADDED", "DELETED"}) {
    Sync();
    client_.Stream(Event(type, "old", 4));
    EXPECT_FALSE(client_.last_open()) << type;
    loop_.AdvanceTime(absl::Seconds(1));
    EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500") << type;
    // The list tells what there is; the event was another history's.
    EXPECT_THAT(Told(), ElementsAre("begin")) << type;
    watch_.reset();
  }
}

TEST_F(ListWatchTest, TellsOnceThatTheServerIsSetBack) {
  int told = 0;
  ListWatch::Options options;
  options.on_set_back = [&] { ++told; };
  Start(options);
  client_.Answer(200, Page({}, 50));
  Settle();
  client_.Fail(absl::UnavailableError("the connection broke"));
  loop_.AdvanceTime(absl::Seconds(1));
  AnswerCheck("40");
  EXPECT_EQ(told, 1);
  client_.Answer(200, Page({"a"}, 41));
  Settle();
  ASSERT_TRUE(Watching());
  // A list that was due anyway shows it, too.
  client_.Stream("garbage\n");
  loop_.AdvanceTime(absl::Seconds(1));
  client_.Answer(200, Page({"a"}, 30, "next"));
  Settle();
  client_.Answer(200, Page({"b"}, 30));
  Settle();
  EXPECT_EQ(told, 2);
  EXPECT_THAT(client_.last().target, HasSubstr("resourceVersion=30&"));
}

TEST_F(ListWatchTest, ListsAgainWhenTold) {
  Sync();
  watch_->ListAgain();
  EXPECT_FALSE(client_.last_open());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
  // In the midst of a list, whose pages may be of before.
  client_.Answer(200, Page({"a"}, 3, "next"));
  Settle();
  watch_->ListAgain();
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
  client_.Answer(200, Page({"b"}, 2));
  Settle();
  EXPECT_THAT(Told(), ElementsAre("begin", "a", "begin", "b", "end"));
  EXPECT_TRUE(Watching());
  // It was told, and tells nobody.
  EXPECT_THAT(Metrics(), HasSubstr("kubernetes_set_back_total{resource=\"pods\"} 0\n"));
}

TEST_F(ListWatchTest, GoesOnWhereTheServerHasNotMovedOrSaysIt) {
  Sync();
  client_.Stream(Event("BOOKMARK", "", 5));
  EXPECT_TRUE(client_.last_open());
  client_.Answer(200, "");
  for (int i = 0; i < 3; ++i) {
    loop_.AdvanceTime(absl::Seconds(1));
    AnswerCheck("5");
    ASSERT_TRUE(Watching());
    EXPECT_THAT(client_.last().target, HasSubstr("resourceVersion=5&"));
    loop_.AdvanceTime(absl::Minutes(2));
    client_.Answer(200, "");
  }
  EXPECT_THAT(Told(), ElementsAre());
  EXPECT_THAT(Metrics(), HasSubstr("kubernetes_set_back_total{resource=\"pods\"} 0\n"));
}

TEST_F(ListWatchTest, AsksHowFarTheServerIsUntilItSays) {
  Sync();
  client_.Fail(absl::UnavailableError("the connection broke"));
  for (int i = 0; i < 5; ++i) {
    loop_.AdvanceTime(absl::Seconds(30));
    ASSERT_EQ(client_.last().target, "/api/v1/pods?limit=1");
    client_.Fail(absl::UnavailableError("refused"));
  }
  loop_.AdvanceTime(absl::Seconds(30));
  AnswerCheck("4");
  // It has waited long enough.
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
}

TEST_F(ListWatchTest, GoesOnAskingHowFarTheServerIsWhereThatIsRefused) {
  for (const int status : {401, 403, 429, 500, 503, 504}) {
    Sync();
    client_.Answer(200, "");
    loop_.AdvanceTime(absl::Seconds(1));
    const size_t before = client_.size();
    client_.Answer(status, "{}");
    loop_.AdvanceTime(absl::Seconds(2));
    EXPECT_EQ(client_.size(), before + 1) << status;
    AnswerCheck("5");
    EXPECT_TRUE(Watching()) << status;
    watch_.reset();
  }
}

TEST_F(ListWatchTest, ListsWhereTheServerDoesNotSayHowFarItIs) {
  for (const char* body :
       {"", "garbage", "{}", R"({"metadata":{}})", R"({"metadata":{"resourceVersion":5}})"}) {
    Sync();
    client_.Answer(200, "");
    loop_.AdvanceTime(absl::Seconds(1));
    client_.Answer(200, body);
    loop_.AdvanceTime(absl::Seconds(2));
    EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500") << body;
    watch_.reset();
  }
}

// By then it may have come further than it was, on another way.
TEST_F(ListWatchTest, ListsAnewAfterAnOutageUnlessItDidAMomentAgo) {
  Sync();
  const auto outage = [&] {
    client_.Fail(absl::UnavailableError("the connection broke"));
    loop_.AdvanceTime(absl::Seconds(1));
    client_.Fail(absl::UnavailableError("refused"));
    loop_.AdvanceTime(absl::Seconds(2));
    AnswerCheck("10");
  };
  outage();
  EXPECT_TRUE(Watching());
  // No longer than until it may be listed.
  EXPECT_THAT(client_.last().target, ::testing::ContainsRegex("timeoutSeconds=29[0-9]$"));
  loop_.AdvanceTime(absl::Minutes(5));
  client_.Answer(200, "");
  Settle();
  AnswerCheck("10");
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
  client_.Answer(200, Page({}, 10));
  Settle();
  EXPECT_TRUE(Watching());
  loop_.AdvanceTime(absl::Minutes(5));
  outage();
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
}

// Of versions that are no numbers nothing can be told but whether they are the same: what was
// missed once stays in doubt until all has been listed.
TEST_F(ListWatchTest, ListsMoreOftenWhereVersionsCannotBeCompared) {
  for (const char* known : {"v1", "5a", "-5", "", "0x5"}) {
    Start();
    client_.Answer(200, absl::StrCat(R"({"metadata":{"resourceVersion":")", known, R"("}})"));
    Settle();
    ASSERT_TRUE(Watching()) << known;
    loop_.AdvanceTime(absl::Minutes(2));
    client_.Answer(200, "");
    Settle();
    AnswerCheck("4");
    EXPECT_TRUE(Watching()) << known;
    loop_.AdvanceTime(absl::Minutes(3));
    client_.Answer(200, "");
    Settle();
    AnswerCheck(known);
    EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500") << known;
    watch_.reset();
  }
  EXPECT_THAT(Metrics(), HasSubstr("kubernetes_set_back_total{resource=\"pods\"} 0\n"));
}

TEST_F(ListWatchTest, ListsAgainWhenTheServerHasForgottenTheVersion) {
  Sync();
  client_.Stream(R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})"
                 "\n");
  EXPECT_FALSE(client_.last_open());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
  client_.Answer(200, Page({"b"}, 20));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(Told(), ElementsAre("begin", "b", "end"));
  client_.Answer(410, "{}");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500");
}

TEST_F(ListWatchTest, AsksForTheWholeListWhenPagesTakeTooLong) {
  Start();
  client_.Answer(200, Page({"a"}, 5, "next"));
  Settle();
  client_.Answer(410, "{}");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?");
  client_.Answer(200, Page({"a", "b"}, 7));
  EXPECT_THAT(Told(), ElementsAre("begin", "a", "begin", "a", "b", "end"));
}

TEST_F(ListWatchTest, GoesOnWithTheSamePageAfterAFailure) {
  Start();
  client_.Answer(200, Page({"a"}, 5, "next"));
  Settle();
  client_.Answer(500, "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(client_.last().target, HasSubstr("continue=next"));
}

TEST_F(ListWatchTest, BacksOffWhileTheServerIsDown) {
  Start();
  int requests = 0;
  for (int i = 0; i < 600; ++i) {
    if (client_.last_open()) {
      ++requests;
      client_.Fail(absl::UnavailableError("refused"));
    }
    loop_.AdvanceTime(absl::Seconds(1));
  }
  // Half a second to 30 s, of which at least half.
  EXPECT_GT(requests, 600 / 30);
  EXPECT_LT(requests, 600 / 15 + 10);
}

TEST_F(ListWatchTest, DoesWhatTheServerAsksFor) {
  Start();
  ApiResponse response;
  response.status = 429;
  response.retry_after = absl::Seconds(40);
  client_.Finish(0, response);
  loop_.AdvanceTime(absl::Seconds(39));
  EXPECT_EQ(client_.size(), 1u);
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(client_.size(), 2u);
}

TEST_F(ListWatchTest, ListsAgainWhereAWatchIsRefusedForGood) {
  for (const auto& [status, lists] :
       {std::make_pair(429, false), std::make_pair(503, false), std::make_pair(500, true),
        std::make_pair(504, true), std::make_pair(403, true)}) {
    Sync();
    client_.Answer(status, "Too large resource version");
    loop_.AdvanceTime(absl::Seconds(2));
    EXPECT_EQ(client_.last().target, lists ? "/api/v1/pods?limit=500" : "/api/v1/pods?limit=1")
        << status;
    if (!lists) {
      AnswerCheck("5");
      EXPECT_TRUE(Watching()) << status;
    }
    watch_.reset();
  }
}

TEST_F(ListWatchTest, DoesNotHammerAServerThatEndsWatchesAtOnce) {
  Sync();
  const size_t before = client_.size();
  for (int i = 0; i < 100; ++i) {
    if (Watching()) {
      client_.Answer(200, "");
    } else if (client_.last_open()) {
      AnswerCheck("5");
    }
    loop_.AdvanceTime(absl::Milliseconds(100));
  }
  // Each watch is two requests.
  EXPECT_LT(client_.size() - before, 30u);
}

TEST_F(ListWatchTest, ListsAgainAfterWhatIsNoEvent) {
  for (const char* line : {"garbage\n", "{}\n",
                           R"({"type":"ADDED","object":{}})"
                           "\n"}) {
    Sync();
    client_.Stream(line);
    EXPECT_FALSE(client_.last_open()) << line;
    loop_.AdvanceTime(absl::Seconds(2));
    EXPECT_THAT(client_.last().target, Not(HasSubstr("watch"))) << line;
    watch_.reset();
  }
}

TEST_F(ListWatchTest, TriesTheNextPathWhereTheServerHasNotTheFirst) {
  ListWatch::Options options;
  options.paths = {"/apis/discovery.k8s.io/v1/endpointslices",
                   "/apis/discovery.k8s.io/v1beta1/endpointslices"};
  Start(options);
  EXPECT_THAT(client_.last().target, StartsWith("/apis/discovery.k8s.io/v1/"));
  client_.Answer(404, "404 page not found");
  Settle();
  EXPECT_THAT(client_.last().target, StartsWith("/apis/discovery.k8s.io/v1beta1/"));
  client_.Answer(200, Page({"a"}, 5));
  Settle();
  EXPECT_THAT(client_.last().target, StartsWith("/apis/discovery.k8s.io/v1beta1/"));
  // The server is another one now.
  client_.Answer(404, "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(client_.last().target, StartsWith("/apis/discovery.k8s.io/v1/"));
  client_.Answer(200, Page({"a"}, 5));
  Settle();
  client_.Answer(200, "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/apis/discovery.k8s.io/v1/endpointslices?limit=1");
  client_.Answer(404, "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(client_.last().target, StartsWith("/apis/discovery.k8s.io/v1beta1/"));
}

TEST_F(ListWatchTest, AsksForMetadataAloneWhereThatIsEnough) {
  ListWatch::Options options;
  options.metadata_only = true;
  options.parameters = "labelSelector=x";
  Start(options);
  EXPECT_THAT(client_.last().accept, HasSubstr("as=PartialObjectMetadataList;"));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=500&labelSelector=x");
  client_.Answer(200, Page({}, 5));
  Settle();
  EXPECT_THAT(client_.last().accept, HasSubstr("as=PartialObjectMetadata;"));
  client_.Answer(503, "");
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(client_.last().target, "/api/v1/pods?limit=1&labelSelector=x");
  EXPECT_THAT(client_.last().accept, HasSubstr("as=PartialObjectMetadataList;"));
}

TEST_F(ListWatchTest, ListsFromTimeToTimeAnyway) {
  Sync();
  bool listed = false;
  for (int i = 0; i < 30 && !listed; ++i) {
    loop_.AdvanceTime(absl::Minutes(3));
    if (client_.last_open()) client_.Answer(200, "");
    loop_.AdvanceTime(absl::Seconds(1));
    if (client_.last().target == "/api/v1/pods?limit=1") AnswerCheck("5");
    listed = !absl::StrContains(client_.last().target, "watch=1");
  }
  EXPECT_TRUE(listed);
}

}  // namespace
}  // namespace byrnie
