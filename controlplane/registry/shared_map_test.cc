#include "controlplane/registry/shared_map.h"

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Entry {
  std::string name;
  int value;
  // How often an entry was looked at, to see what a search costs.
  static int looks;
  absl::string_view key() const {
    ++looks;
    return name;
  }
  bool operator==(const Entry& other) const { return value == other.value; }
};
int Entry::looks = 0;

using Map = SharedMap<Entry>;
using Model = std::map<std::string, int>;

Map::Change Put(const std::string& name, int value) { return {name, Entry{name, value}}; }
Map::Change Remove(const std::string& name) { return {name, absl::nullopt}; }

Model ModelOf(const Map& map) {
  Model model;
  std::string last;
  for (const Entry& entry : map) {
    EXPECT_LT(last, entry.name);
    last = entry.name;
    model.emplace(entry.name, entry.value);
  }
  EXPECT_EQ(model.size(), map.size());
  return model;
}

// "-gone", "+new", "~changed".
std::vector<std::string> DiffOf(const Map& before, const Map& after, const std::string& above = "",
                                size_t most = 1000000) {
  std::vector<std::string> told;
  Map::Diff(before, after, above, [&](const Entry* a, const Entry* b) {
    told.push_back(a == nullptr ? "+" + b->name : b == nullptr ? "-" + a->name : "~" + a->name);
    return told.size() < most;
  });
  return told;
}

Map Many(int count) {
  std::vector<Map::Change> changes;
  for (int i = 0; i < count; ++i) changes.push_back(Put(absl::StrCat("k", 1000000 + i), i));
  return Map().With(std::move(changes));
}

TEST(SharedMapTest, FindsWhatIsThere) {
  const Map map = Map().With({Put("b", 2), Put("d", 4)});
  EXPECT_EQ(map.Find("b")->value, 2);
  for (const char* absent : {"", "a", "c", "e"}) EXPECT_EQ(map.Find(absent), nullptr) << absent;
  EXPECT_EQ(map.LowerBound("b")->name, "b");
  EXPECT_EQ(map.UpperBound("b")->name, "d");
  EXPECT_EQ(map.LowerBound("c")->name, "d");
  EXPECT_TRUE(map.UpperBound("d") == map.end());
  EXPECT_EQ(Map().Find("a"), nullptr);
  EXPECT_TRUE(Map().LowerBound("a") == Map().end() || Map().empty());
}

TEST(SharedMapTest, TheLastChangeOfAKeyCounts) {
  const Map map = Map().With({Put("a", 1), Put("b", 1)});
  EXPECT_EQ(ModelOf(map.With({Remove("a"), Put("a", 2), Put("b", 2), Remove("b")})),
            (Model{{"a", 2}}));
  EXPECT_EQ(ModelOf(map.With({Remove("c")})), ModelOf(map));
  EXPECT_EQ(ModelOf(map.With({Remove("a"), Remove("b")})), Model());
}

TEST(SharedMapTest, AnOldVersionStaysAsItWas) {
  const Map before = Many(1000);
  const Model model = ModelOf(before);
  const Map after = before.With({Remove("k1000500"), Put("k1000501", -1), Put("x", 1)});
  EXPECT_EQ(ModelOf(before), model);
  EXPECT_THAT(DiffOf(before, after), ElementsAre("-k1000500", "~k1000501", "+x"));
  EXPECT_THAT(DiffOf(after, after), IsEmpty());
}

TEST(SharedMapTest, ADifferenceIsFoundWithoutALookAtTheRest) {
  const Map before = Many(100000);
  const Map after = before.With({Put("k1050000", -1)});
  Entry::looks = 0;
  EXPECT_THAT(DiffOf(before, after), ElementsAre("~k1050000"));
  EXPECT_LT(Entry::looks, 8 * static_cast<int>(Map::kMaxChunk));
}

TEST(SharedMapTest, ADifferenceGoesOnWhereItStopped) {
  const Map before = Many(2000);
  std::vector<Map::Change> changes;
  for (int i = 0; i < 2000; i += 7) changes.push_back(Put(absl::StrCat("k", 1000000 + i), -1));
  const Map after = before.With(std::move(changes));
  std::vector<std::string> parts;
  std::string above;
  while (true) {
    const std::vector<std::string> part = DiffOf(before, after, above, 10);
    if (part.empty()) break;
    parts.insert(parts.end(), part.begin(), part.end());
    above = part.back().substr(1);
  }
  EXPECT_EQ(parts, DiffOf(before, after));
}

TEST(SharedMapTest, IsWhatAMapIs) {
  std::mt19937 random(4711);
  Map map;
  Model model;
  for (int round = 0; round < 300; ++round) {
    std::vector<Map::Change> changes;
    const Map before = map;
    const Model model_before = model;
    const int count = static_cast<int>(random() % (round % 10 == 0 ? 800 : 20));
    for (int i = 0; i < count; ++i) {
      const std::string key = absl::StrCat(random() % 3000);
      if (random() % 3 == 0 || (round > 200 && random() % 2 == 0)) {
        changes.push_back(Remove(key));
        model.erase(key);
      } else {
        const int value = static_cast<int>(random() % 5);
        changes.push_back(Put(key, value));
        model[key] = value;
      }
    }
    map = map.With(std::move(changes));
    ASSERT_EQ(ModelOf(map), model);
    std::vector<std::string> expected;
    Model both = model_before;
    both.insert(model.begin(), model.end());
    for (const auto& [key, unused] : both) {
      const auto a = model_before.find(key);
      const Model::const_iterator b = model.find(key);
      if (a == model_before.end()) {
        expected.push_back("+" + key);
      } else if (b == model.end()) {
        expected.push_back("-" + key);
      } else if (a->second != b->second) {
        expected.push_back("~" + key);
      }
    }
    ASSERT_EQ(DiffOf(before, map), expected);
    const std::string probe = absl::StrCat(random() % 3000);
    ASSERT_EQ(map.Find(probe) != nullptr, model.count(probe) == 1);
    const auto above = model.upper_bound(probe);
    const auto found = map.UpperBound(probe);
    ASSERT_EQ(found == map.end(), above == model.end());
    if (above != model.end()) {
      ASSERT_EQ(found->name, above->first);
    }
  }
}

}  // namespace
}  // namespace byrnie
