#include "proxy/sharded_map.h"

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using Map = ShardedMap<std::string, int>;

std::vector<std::pair<std::string, int>> Contents(const Map& map) {
  std::vector<std::pair<std::string, int>> contents;
  map.ForEach([&](const std::string& key, int value) { contents.emplace_back(key, value); });
  return contents;
}

TEST(ShardedMapTest, FindsWhatWasPut) {
  Map map;
  EXPECT_EQ(map.Find(std::string("a")), nullptr);
  map.Put("a", 1);
  map.Put("b", 2);
  map.Put("a", 3);
  EXPECT_EQ(*map.Find(std::string("a")), 3);
  EXPECT_EQ(map.size(), 2u);
  EXPECT_THAT(Contents(map), UnorderedElementsAre(Pair("a", 3), Pair("b", 2)));
  EXPECT_TRUE(map.Erase(std::string("a")));
  EXPECT_FALSE(map.Erase(std::string("a")));
  EXPECT_EQ(map.size(), 1u);
}

TEST(ShardedMapTest, ASnapshotSeesNoLaterChange) {
  Map map;
  map.Put("a", 1);
  map.Put("b", 2);
  const Map snapshot = map.Snapshot();
  map.Put("a", 9);
  map.Erase(std::string("b"));
  map.Put("c", 3);
  EXPECT_THAT(Contents(snapshot), UnorderedElementsAre(Pair("a", 1), Pair("b", 2)));
  EXPECT_EQ(snapshot.size(), 2u);
  EXPECT_THAT(Contents(map), UnorderedElementsAre(Pair("a", 9), Pair("c", 3)));
}

TEST(ShardedMapTest, AChangedSnapshotDoesNotChangeItsOrigin) {
  Map map;
  map.Put("a", 1);
  Map snapshot = map.Snapshot();
  snapshot.Put("a", 2);
  EXPECT_EQ(*map.Find(std::string("a")), 1);
}

TEST(ShardedMapTest, SharesWhatDoesNotChange) {
  ShardedMap<int, std::shared_ptr<int>> map;
  for (int i = 0; i < 10000; ++i) map.Put(i, nullptr);
  const auto snapshot = map.Snapshot();
  map.Put(5, std::make_shared<int>(1));
  int moved = 0;
  for (int i = 0; i < 10000; ++i) moved += map.Find(i) != snapshot.Find(i) ? 1 : 0;
  // One shard of 256.
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, 200);
}

TEST(ShardedMapTest, BehavesAsAMapOverRandomChangesAndSnapshots) {
  std::mt19937 random(1);
  ShardedMap<int, int> map;
  std::map<int, int> model;
  std::vector<std::pair<ShardedMap<int, int>, std::map<int, int>>> snapshots;
  for (int step = 0; step < 20000; ++step) {
    const int key = static_cast<int>(random() % 500);
    switch (random() % 8) {
      case 0:
      case 1:
        EXPECT_EQ(map.Erase(key), model.erase(key) > 0);
        break;
      case 2:
        if (snapshots.size() < 20 && step % 97 == 0) snapshots.emplace_back(map.Snapshot(), model);
        break;
      default:
        map.Put(key, step);
        model[key] = step;
    }
  }
  snapshots.emplace_back(map.Snapshot(), model);
  for (const auto& [snapshot, expected] : snapshots) {
    std::map<int, int> contents;
    snapshot.ForEach([&contents = contents](int key, int value) { contents[key] = value; });
    EXPECT_EQ(contents, expected);
    EXPECT_EQ(snapshot.size(), expected.size());
  }
}

}  // namespace
}  // namespace byrnie
