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
  EXPECT_THAT(client_.last().target, HasSubstr("resourceVersion=9&"));
  EXPECT_THAT(Told(), ElementsAre("+a"));
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
    EXPECT_EQ(absl::StrContains(client_.last().target, "watch=1"), !lists) << status;
    watch_.reset();
  }
}

TEST_F(ListWatchTest, DoesNotHammerAServerThatEndsWatchesAtOnce) {
  Sync();
  const size_t before = client_.size();
  for (int i = 0; i < 100; ++i) {
    client_.Answer(200, "");
    loop_.AdvanceTime(absl::Milliseconds(100));
  }
  EXPECT_LT(client_.size() - before, 15u);
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
}

TEST_F(ListWatchTest, ListsFromTimeToTimeAnyway) {
  Sync();
  bool listed = false;
  for (int i = 0; i < 30 && !listed; ++i) {
    loop_.AdvanceTime(absl::Minutes(3));
    if (client_.last_open()) client_.Answer(200, "");
    Settle();
    listed = !absl::StrContains(client_.last().target, "watch=1");
  }
  EXPECT_TRUE(listed);
}

}  // namespace
}  // namespace byrnie
