// What every Informer keeps, the one for tests too; then what the cache adds.
#include "controlplane/kubernetes/informer.h"

#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/informer_cache.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Thing {
  ObjectName name;
  std::string value;
  friend bool operator==(const Thing& a, const Thing& b) {
    return a.name == b.name && a.value == b.value;
  }
};

absl::StatusOr<Thing> DecodeThing(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(JsonObject metadata, object.GetObject("metadata"));
  Thing thing;
  ASSIGN_OR_RETURN(thing.name.ns, metadata.GetString("namespace"));
  ASSIGN_OR_RETURN(thing.name.name, metadata.GetString("name"));
  ASSIGN_OR_RETURN(thing.value, object.GetString("value"));
  return thing;
}

JsonValue Json(const Thing& thing) {
  return *JsonValue::Parse(
      absl::StrCat(R"({"metadata":{"namespace":")", thing.name.ns, R"(","name":")", thing.name.name,
                   R"("},"value":")", thing.value, R"("})"),
      10000);
}

// One Informer, and what makes its objects be these.
struct Subject {
  std::unique_ptr<Informer<Thing>> informer;
  std::function<void(std::vector<Thing>)> set;
};

MetricRegistry* Metrics() {
  static MetricRegistry* const metrics = new MetricRegistry();
  return metrics;
}
Logger* Log() {
  static Logger* const logger = new Logger(STDERR_FILENO, Logger::Format::kText, LogLevel::kError);
  return logger;
}

Subject MakeFake() {
  auto fake = std::make_unique<FakeInformer<Thing>>();
  auto* raw = fake.get();
  return {std::move(fake), [raw](std::vector<Thing> things) { raw->Set(std::move(things)); }};
}

// By lists alone.
Subject MakeListed() {
  auto cache = std::make_unique<InformerCache<Thing>>("things", DecodeThing, Log(), Metrics());
  auto* raw = cache.get();
  return {std::move(cache), [raw](const std::vector<Thing>& things) {
            raw->OnListBegin();
            for (const Thing& thing : things) raw->OnListed(Json(thing));
            raw->OnListEnd();
          }};
}

// By one list, then by events.
Subject MakeWatched() {
  auto cache = std::make_unique<InformerCache<Thing>>("things", DecodeThing, Log(), Metrics());
  auto* raw = cache.get();
  return {std::move(cache), [raw](const std::vector<Thing>& things) {
            if (!raw->synced()) {
              raw->OnListBegin();
              for (const Thing& thing : things) raw->OnListed(Json(thing));
              return raw->OnListEnd();
            }
            std::map<ObjectName, Thing> gone;
            for (const auto& [name, thing] : raw->objects()) gone[name] = *thing;
            for (const Thing& thing : things) {
              raw->OnPut(Json(thing));
              gone.erase(thing.name);
            }
            for (const auto& entry : gone) raw->OnDelete(Json(entry.second));
            raw->OnEventsEnd();
          }};
}

class InformerTest : public ::testing::TestWithParam<Subject (*)()> {
 protected:
  InformerTest() : subject_(GetParam()()) {
    subject_.informer->AddListener([this](const Informer<Thing>::Changes& changes) {
      ++calls_;
      for (const auto& change : changes) {
        told_.push_back(absl::StrCat(change.name.ns, "/", change.name.name, " ",
                                     change.before ? change.before->value : "-", " ",
                                     change.after ? change.after->value : "-"));
        const auto known = subject_.informer->objects().find(change.name);
        EXPECT_EQ(known == subject_.informer->objects().end(), change.after == nullptr);
      }
    });
  }
  std::vector<std::string> Set(std::vector<Thing> things) {
    told_.clear();
    subject_.set(std::move(things));
    return told_;
  }

  Subject subject_;
  int calls_ = 0;
  std::vector<std::string> told_;
};
INSTANTIATE_TEST_SUITE_P(All, InformerTest, ::testing::Values(MakeFake, MakeListed, MakeWatched));

TEST_P(InformerTest, IsEmptyUntilItIsSynced) {
  EXPECT_FALSE(subject_.informer->synced());
  EXPECT_TRUE(subject_.informer->objects().empty());
}

TEST_P(InformerTest, TellsThatItIsSyncedAlsoWhenThereIsNothing) {
  EXPECT_THAT(Set({}), IsEmpty());
  EXPECT_TRUE(subject_.informer->synced());
  EXPECT_EQ(calls_, 1);
}

TEST_P(InformerTest, TellsOfWhatComesChangesAndGoes) {
  EXPECT_THAT(Set({{{"n", "a"}, "1"}, {{"n", "b"}, "1"}}), ElementsAre("n/a - 1", "n/b - 1"));
  EXPECT_THAT(Set({{{"n", "a"}, "2"}, {{"n", "b"}, "1"}}), ElementsAre("n/a 1 2"));
  EXPECT_THAT(Set({{{"n", "a"}, "2"}}), ElementsAre("n/b 1 -"));
  EXPECT_THAT(Set({{{"m", "a"}, "2"}, {{"n", "a"}, "2"}}), ElementsAre("m/a - 2"));
  EXPECT_EQ(subject_.informer->objects().size(), 2u);
}

TEST_P(InformerTest, TellsNothingWhereNothingDiffers) {
  Set({{{"n", "a"}, "1"}});
  EXPECT_THAT(Set({{{"n", "a"}, "1"}}), IsEmpty());
  EXPECT_EQ(calls_, 1);
}

class InformerCacheTest : public ::testing::Test {
 protected:
  InformerCacheTest() {
    cache_.AddListener([this](const Informer<Thing>::Changes& changes) {
      for (const auto& change : changes) {
        told_.push_back(absl::StrCat(change.name.name, change.after ? "+" : "-"));
      }
    });
  }
  MetricRegistry metrics_;
  InformerCache<Thing> cache_{"things", DecodeThing, Log(), &metrics_};
  std::vector<std::string> told_;
};

TEST_F(InformerCacheTest, ShowsNothingOfAListThatDidNotEnd) {
  cache_.OnListBegin();
  cache_.OnListed(Json({{"n", "a"}, "1"}));
  EXPECT_FALSE(cache_.synced());
  EXPECT_TRUE(cache_.objects().empty());
  cache_.OnListBegin();
  cache_.OnListed(Json({{"n", "b"}, "1"}));
  cache_.OnListEnd();
  EXPECT_THAT(told_, ElementsAre("b+"));
}

TEST_F(InformerCacheTest, TellsOnceOfSeveralEventsOfOneObject) {
  cache_.OnListBegin();
  cache_.OnListEnd();
  cache_.OnPut(Json({{"n", "a"}, "1"}));
  cache_.OnPut(Json({{"n", "a"}, "2"}));
  cache_.OnPut(Json({{"n", "b"}, "1"}));
  cache_.OnDelete(Json({{"n", "b"}, "1"}));
  cache_.OnEventsEnd();
  EXPECT_THAT(told_, ElementsAre("a+"));
}

TEST_F(InformerCacheTest, LeavesOutWhatItCannotRead) {
  cache_.OnListBegin();
  cache_.OnListed(Json({{"n", "a"}, "1"}));
  cache_.OnListed(*JsonValue::Parse(R"({"metadata":{"name":7}})", 1000));
  cache_.OnListEnd();
  EXPECT_THAT(told_, ElementsAre("a+"));
  cache_.OnPut(*JsonValue::Parse(R"({"metadata":{"namespace":"n","name":"a"}})", 1000));
  cache_.OnEventsEnd();
  EXPECT_THAT(told_, ElementsAre("a+", "a-"));
}

}  // namespace
}  // namespace byrnie
