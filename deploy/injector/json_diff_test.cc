#include "deploy/injector/json_diff.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "deploy/injector/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

Json Read(absl::string_view text) { return ParseJson(text, 100000).value_or(Json(nullptr)); }

std::string PatchOf(absl::string_view from, absl::string_view to) {
  return ToText(ToJsonPatch(DiffJson(Read(from), Read(to))));
}

TEST(JsonDiffTest, NothingForTheSameInAnotherOrder) {
  EXPECT_EQ(PatchOf(R"({"a":1,"b":[{"name":"x","d":3}]})", R"({"b":[{"d":3,"name":"x"}],"a":1})"),
            "[]");
}

TEST(JsonDiffTest, AddsRemovesAndReplacesMembers) {
  EXPECT_EQ(PatchOf(R"({"a":1,"b":2,"c":{"d":3}})", R"({"a":1,"c":{"d":4},"e/~":5})"),
            R"([{"op":"remove","path":"/b"},{"op":"replace","path":"/c/d","value":4},)"
            R"({"op":"add","path":"/e~1~0","value":5}])");
}

TEST(JsonDiffTest, ElementsWithANameAreFoundAgain) {
  EXPECT_EQ(PatchOf(R"([{"name":"app","image":"1"}])",
                    R"([{"name":"proxy"},{"name":"app","image":"2"}])"),
            R"([{"op":"replace","path":"/0/image","value":"2"},)"
            R"({"op":"add","path":"/0","value":{"name":"proxy"}}])");
}

// In the time of a test.
TEST(JsonDiffTest, LargeObjectsAreCompared) {
  Json from = Json::object(), to = Json::object();
  constexpr int kMembers = 100000;
  for (int i = 0; i < kMembers; ++i) {
    from.get_ref<Json::object_t&>().push_back({"m" + std::to_string(i), Json(i)});
    const int j = kMembers - 1 - i;
    to.get_ref<Json::object_t&>().push_back({"m" + std::to_string(j), Json(j)});
  }
  to["m7"] = "other";
  EXPECT_EQ(ToText(ToJsonPatch(DiffJson(from, to))),
            R"([{"op":"replace","path":"/m7","value":"other"}])");
}

TEST(JsonDiffTest, LongListsAreComparedWhereTheyDiffer) {
  Json from = Json::array();
  for (int i = 0; i < 20000; ++i) {
    Json element = Json::object();
    element["name"] = "n" + std::to_string(i);
    element["value"] = i;
    from.push_back(i % 2 == 0 ? std::move(element) : Json(i));
  }
  Json to = from;
  to[10]["value"] = 0;
  to.insert(to.begin() + 10, Json("between"));
  to.erase(to.begin() + 5001);
  to.push_back("last");
  EXPECT_EQ(ToText(ToJsonPatch(DiffJson(from, from))), "[]");
  EXPECT_EQ(from.patch(ToJsonPatch(DiffJson(from, to))), to);
  Json longer = from;
  longer.insert(longer.begin(), Json("first"));
  longer[19999]["value"] = 0;
  EXPECT_EQ(ToText(ToJsonPatch(DiffJson(from, longer))),
            R"([{"op":"replace","path":"/19998/value","value":0},)"
            R"({"op":"add","path":"/0","value":"first"}])");
}

// All lists together are looked at in as many pairs as one may be.
TEST(JsonDiffTest, ManyListsThatDifferEverywhereAreReplaced) {
  Json from = Json::array(), to = Json::array();
  for (int list = 0; list < 300; ++list) {
    Json before = Json::object(), after = Json::object();
    before["name"] = after["name"] = std::to_string(list);
    for (int i = 0; i < 900; ++i) {
      before["list"].push_back(i);
      after["list"].push_back(-1 - i);
    }
    from.push_back(std::move(before));
    to.push_back(std::move(after));
  }
  const std::vector<JsonEdit> edits = DiffJson(from, to);
  EXPECT_EQ(from.patch(ToJsonPatch(edits)), to);
  EXPECT_EQ(edits.size(), 299u + 2 * 900u);
}

TEST(JsonDiffTest, ObjectsOfAListAreFoundAgain) {
  EXPECT_EQ(
      PatchOf(
          R"([{"kind":"A","metadata":{"name":"x"}},{"kind":"B","metadata":{"name":"x"}}])",
          R"([{"kind":"A","metadata":{"name":"x"}},{"kind":"B","metadata":{"name":"x"},"c":1}])"),
      R"([{"op":"add","path":"/1/c","value":1}])");
}

TEST(JsonDiffTest, SeveralElementsComeInTheirOrder) {
  EXPECT_EQ(PatchOf("[1,2]", "[8,9,1,7]"),
            R"([{"op":"add","path":"/2","value":7},{"op":"remove","path":"/1"},)"
            R"({"op":"add","path":"/0","value":9},{"op":"add","path":"/0","value":8}])");
}

TEST(JsonDiffTest, AnotherTypeIsReplaced) {
  EXPECT_EQ(PatchOf(R"({"a":null})", R"({"a":{}})"),
            R"([{"op":"replace","path":"/a","value":{}}])");
  EXPECT_EQ(PatchOf("1", "2"), R"([{"op":"replace","path":"","value":2}])");
}

// Of small numbers, so that much is equal.
Json RandomValue(std::mt19937& random, int depth) {
  const auto choice = random() % (depth > 0 ? 4 : 2);
  if (choice < 2) return Json(random() % 3);
  Json value = choice == 2 ? Json::array() : Json::object();
  const auto count = random() % 5;
  for (size_t i = 0; i < count; ++i) {
    Json child = RandomValue(random, depth - 1);
    if (choice == 2) {
      if (random() % 2 == 0) {
        child = Json::object();
        child["name"] = std::string(1, static_cast<char>('a' + random() % 3));
        child["value"] = RandomValue(random, depth - 1);
      }
      value.push_back(std::move(child));
    } else {
      value[std::string(1, static_cast<char>('a' + random() % 4))] = std::move(child);
    }
  }
  return value;
}

TEST(JsonDiffTest, AnotherImplementationGetsThereByThePatch) {
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    const Json from = RandomValue(random, 4), to = RandomValue(random, 4);
    const std::vector<JsonEdit> edits = DiffJson(from, to);
    Json changed = from;
    for (const JsonEdit& edit : edits) ApplyEdit(edit, 0, &changed);
    ASSERT_TRUE(SameJson(changed, to)) << ToText(from) << "\n" << ToText(to);
    const Json patch = ToJsonPatch(edits);
    // nlohmann's; what cannot be applied would abort.
    ASSERT_TRUE(SameJson(from.patch(patch), to)) << ToText(from) << "\n"
                                                 << ToText(to) << "\n"
                                                 << ToText(patch);
  }
}

}  // namespace
}  // namespace byrnie
