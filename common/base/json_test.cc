#include "common/base/json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kMaxSize = 1 << 20;

absl::StatusOr<JsonObject> ParseObject(absl::string_view text) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(text, kMaxSize);
  if (!value.ok()) return value.status();
  return value->AsObject();
}

TEST(JsonTest, ReadsEveryType) {
  ASSERT_OK_AND_ASSIGN(
      JsonObject object,
      ParseObject(R"({"s":"a\u00e9","i":-3,"b":true,"n":null,"d":1.5,"l":["x","y"],"o":{"k":1}})"));
  EXPECT_THAT(object.GetString("s"), IsOkAndHolds("a\xc3\xa9"));
  EXPECT_THAT(object.GetInt("i", -10, 10), IsOkAndHolds(-3));
  EXPECT_THAT(object.GetBool("b"), IsOkAndHolds(true));
  EXPECT_TRUE(object.Get("n")->is_null());
  EXPECT_THAT(object.Get("d")->AsDouble(), IsOkAndHolds(1.5));
  EXPECT_THAT(object.GetStringArrayOrEmpty("l"), IsOkAndHolds(ElementsAre("x", "y")));
  EXPECT_THAT(object.GetObject("o")->GetInt("k", 0, 1), IsOkAndHolds(1));
}

TEST(JsonTest, NamesThePlaceOfAnError) {
  ASSERT_OK_AND_ASSIGN(JsonObject object,
                       ParseObject(R"({"workloads":[{},{},{"addresses":[7]}]})"));
  ASSERT_OK_AND_ASSIGN(std::vector<JsonValue> workloads, object.GetArrayOrEmpty("workloads"));
  EXPECT_THAT(workloads[2].AsObject()->GetStringArrayOrEmpty("addresses"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "workloads[2].addresses[0]: expected a string, found a number"));
  EXPECT_THAT(workloads[0].AsObject()->GetString("name"),
              StatusIs(absl::StatusCode::kInvalidArgument, "workloads[0]: \"name\" is missing"));
}

TEST(JsonTest, RefusesUnknownKeys) {
  ASSERT_OK_AND_ASSIGN(JsonObject object, ParseObject(R"({"a":1,"c":2})"));
  EXPECT_THAT(object.CheckKeys({"a", "c"}), IsOk());
  EXPECT_THAT(object.CheckKeys({"a", "b"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "unknown key \"c\"; known keys: a, b"));
}

TEST(JsonTest, RefusesTheSameKeyTwice) {
  EXPECT_THAT(ParseObject(R"({"a":1,"a":2})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"a\" appears twice")));
  EXPECT_THAT(ParseObject(R"({"a":{"b":1},"b":2})"), IsOk());
}

TEST(JsonTest, KeepsTheOrderOfMembers) {
  ASSERT_OK_AND_ASSIGN(JsonObject object, ParseObject(R"({"z":1,"a":2})"));
  auto members = object.Members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].first, "z");
  EXPECT_EQ(members[1].second.path(), "a");
}

TEST(JsonTest, RefusesWhatIsNotJson) {
  for (absl::string_view text :
       {"", " ", "{", "{\"a\":}", "[1,]", "nul", "\"\xff\"", "1 2", "{} x", "'a'", "[1]//c"}) {
    EXPECT_THAT(JsonValue::Parse(text, kMaxSize),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("invalid JSON at line")))
        << text;
  }
}

TEST(JsonTest, RefusesTextThatIsTooLongOrTooDeep) {
  EXPECT_THAT(JsonValue::Parse("[1,2]", 4), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(JsonValue::Parse(absl::StrCat(std::string(64, '['), std::string(64, ']')), kMaxSize),
              IsOk());
  EXPECT_THAT(JsonValue::Parse(absl::StrCat(std::string(65, '['), std::string(65, ']')), kMaxSize),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deeper than 64")));
  EXPECT_THAT(JsonValue::Parse(std::string(100000, '['), kMaxSize),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, HoldsIntegersToTheirRange) {
  ASSERT_OK_AND_ASSIGN(JsonObject object,
                       ParseObject(R"({"big":18446744073709551615,"port":65536,"f":1.0})"));
  EXPECT_THAT(object.GetInt("big", 0, INT64_MAX), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(object.GetInt("port", 1, 65535), StatusIs(absl::StatusCode::kInvalidArgument,
                                                        "port: 65536 is not between 1 and 65535"));
  EXPECT_THAT(object.GetInt("f", 0, 10), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, GivesDefaultsForWhatIsMissingOnly) {
  ASSERT_OK_AND_ASSIGN(JsonObject object, ParseObject(R"({"null":null})"));
  EXPECT_THAT(object.GetStringOr("s", "x"), IsOkAndHolds("x"));
  EXPECT_THAT(object.GetIntOr("i", 0, 9, 4), IsOkAndHolds(4));
  EXPECT_THAT(object.GetBoolOr("b", true), IsOkAndHolds(true));
  EXPECT_THAT(object.GetArrayOrEmpty("l"), IsOkAndHolds(ElementsAre()));
  EXPECT_THAT(object.GetStringOr("null", "x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, ValuesOutliveTheDocumentTheyCameFrom) {
  absl::optional<JsonValue> kept;
  {
    ASSERT_OK_AND_ASSIGN(JsonObject object, ParseObject(R"({"a":"still here"})"));
    kept = object.Find("a");
  }
  EXPECT_THAT(kept->AsString(), IsOkAndHolds("still here"));
}

TEST(JsonTest, GivesElementsOfListsOneByOne) {
  std::vector<std::string> seen;
  const auto object =
      JsonValue::ParseLists(R"({"a":[{"n":1},[2],"x"],"b":[],"c":7,"d":[{"n":[1]}]})", kMaxSize,
                            [&seen](absl::string_view member, const JsonValue& element) {
                              seen.push_back(absl::StrCat(member, " ", element.path()));
                              return absl::OkStatus();
                            });
  ASSERT_THAT(object, IsOk());
  EXPECT_THAT(seen, ElementsAre("a a[0]", "a a[1]", "a a[2]", "d d[0]"));
  EXPECT_TRUE(object->GetArrayOrEmpty("a")->empty());
  EXPECT_THAT(object->GetInt("c", 0, 9), IsOkAndHolds(7));
  EXPECT_THAT(object->CheckKeys({"a", "b", "c"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"d\"")));
}

TEST(JsonTest, AnElementNobodyWantsEndsTheReading) {
  int seen = 0;
  const auto refuse = [&seen](absl::string_view, const JsonValue& element) {
    ++seen;
    return element.Error("no");
  };
  EXPECT_THAT(JsonValue::ParseLists(R"({"a":[1,2]})", kMaxSize, refuse),
              StatusIs(absl::StatusCode::kInvalidArgument, "a[0]: no"));
  EXPECT_EQ(seen, 1);
  EXPECT_THAT(JsonValue::ParseLists("[1]", kMaxSize, refuse),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected an object")));
  EXPECT_THAT(JsonValue::ParseLists(R"({"a":[})", kMaxSize, refuse),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1")));
}

}  // namespace
}  // namespace byrnie
