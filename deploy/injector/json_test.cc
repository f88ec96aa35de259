#include "deploy/injector/json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

absl::Status Wrong(absl::string_view text, size_t max_values = 1000) {
  return ParseJson(text, 1000, max_values).status();
}

TEST(InjectorJsonTest, ReadsEveryTypeAndKeepsTheOrder) {
  constexpr char kText[] =
      R"({"z":[1,-2,1.5,"x",true,null],"a":{},"large":9223372036854775807,"e":[[]]})";
  ASSERT_OK_AND_ASSIGN(const Json value, ParseJson(kText, 1000));
  EXPECT_EQ(ToText(value), kText);
}

TEST(InjectorJsonTest, RefusesWhatIsWrong) {
  EXPECT_THAT(Wrong(R"({"a":1,"b":{"c":1,"d":2,"c":3}})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"c\" appears twice")));
  for (const char* const text : {"", "{", "[1,]", "{} x", "nul", "\"\xff\"", "{1:2}"}) {
    EXPECT_THAT(Wrong(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("invalid JSON at line")))
        << text;
  }
  EXPECT_THAT(Wrong(std::string(65, '[') + std::string(65, ']')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deeper than 64")));
  EXPECT_THAT(Wrong(std::string(64, '[') + std::string(64, ']')), IsOk());
  EXPECT_THAT(Wrong(std::string(1001, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than 1000")));
}

TEST(InjectorJsonTest, CountsValues) {
  EXPECT_THAT(Wrong(R"({"a":[1,2]})", 4), IsOk());
  EXPECT_THAT(Wrong(R"({"a":[1,2]})", 3),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too many values")));
}

TEST(InjectorJsonTest, AnErrorDoesNotRepeatALongKey) {
  const std::string key(400, 'k');
  EXPECT_THAT(Wrong(absl::StrCat("{\"", key, "\":1,\"", key, "\":2}")).message(),
              AllOf(HasSubstr("kkk..."), SizeIs(::testing::Lt(200u))));
}

// With a text for each value that says where it is, this would be twenty gigabytes.
TEST(InjectorJsonTest, TakesManyValuesBelowALongKey) {
  std::string text = absl::StrCat("{\"", std::string(100000, 'k'), "\":[0");
  for (int i = 0; i < 200000; ++i) text += ",0";
  text += "]}";
  ASSERT_OK_AND_ASSIGN(const Json value, ParseJson(text, text.size()));
  EXPECT_EQ(value.begin()->size(), 200001u);
}

TEST(InjectorJsonTest, ComparesLargeObjectsInAnyOrder) {
  Json up = Json::object(), down = Json::object();
  constexpr int kMembers = 100000;
  for (int i = 0; i < kMembers; ++i) {
    up.get_ref<Json::object_t&>().push_back({absl::StrCat("member", i), Json(i)});
    const int j = kMembers - 1 - i;
    down.get_ref<Json::object_t&>().push_back({absl::StrCat("member", j), Json(j)});
  }
  EXPECT_TRUE(SameJson(up, down));
  down.begin().value() = 0;
  EXPECT_FALSE(SameJson(up, down));
}

TEST(InjectorJsonTest, ShortensBetweenCharacters) {
  EXPECT_EQ(Shortened("short", 5), "short");
  EXPECT_EQ(Shortened("longer", 5), "lo...");
  EXPECT_EQ(Shortened("l\xc3\xb6nger", 5), "l...");
}

}  // namespace
}  // namespace byrnie
