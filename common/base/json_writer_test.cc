#include "common/base/json_writer.h"

#include <limits>

#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string Write(absl::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonWriterTest, WritesMembersInOrder) {
  JsonWriter json;
  json.BeginObject()
      .Field("z", "a")
      .Field("n", -3)
      .Field("u", uint64_t{18446744073709551615u})
      .Field("t", true)
      .Field("d", 0.25)
      .Key("l")
      .BeginArray()
      .Value(1)
      .Null()
      .BeginObject()
      .EndObject()
      .EndArray()
      .EndObject();
  EXPECT_EQ(std::move(json).Finish(),
            R"({"z":"a","n":-3,"u":18446744073709551615,"t":true,"d":0.25,"l":[1,null,{}]})");
}

TEST(JsonWriterTest, IndentsForPeople) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("a", 1).Key("b").BeginArray().Value("x").EndArray().EndObject();
  EXPECT_EQ(std::move(json).Finish(), "{\n  \"a\": 1,\n  \"b\": [\n    \"x\"\n  ]\n}");
}

TEST(JsonWriterTest, EscapesWhatMustBeEscaped) {
  EXPECT_EQ(Write("a\"b\\c\nd\te\rf\x01g\x7f"), R"("a\"b\\c\nd\te\rf\u0001g\u007f")");
  EXPECT_EQ(Write("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

TEST(JsonWriterTest, ReplacesWhatIsNotUtf8) {
  for (absl::string_view bad : {"\xff", "\xc3", "\xc0", "\x80"}) {
    EXPECT_EQ(Write(bad), "\"\xef\xbf\xbd\"");
  }
  // An overlong slash, a surrogate half, a code point beyond U+10FFFF: each stays parseable.
  for (absl::string_view bad : {"\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(JsonValue::Parse(Write(bad), 1000), IsOk());
  }
}

TEST(JsonWriterTest, WritesWhatTheParserReadsBack) {
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  ASSERT_OK_AND_ASSIGN(JsonValue value, JsonValue::Parse(Write(all), 1000));
  EXPECT_THAT(value.AsString(), IsOkAndHolds(all));
}

TEST(JsonWriterTest, WritesNullForNumbersJsonDoesNotHave) {
  JsonWriter json;
  json.BeginArray()
      .Value(std::numeric_limits<double>::infinity())
      .Value(std::numeric_limits<double>::quiet_NaN())
      .EndArray();
  EXPECT_EQ(std::move(json).Finish(), "[null,null]");
}

}  // namespace
}  // namespace byrnie
