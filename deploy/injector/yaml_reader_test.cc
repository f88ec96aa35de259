#include "deploy/injector/yaml_reader.h"

#include <string>

#include "common/base/status_matchers.h"
#include "deploy/injector/json.h"
#include "deploy/injector/yaml_scalar.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// The first document, as JSON text.
std::string Read(absl::string_view text) {
  const absl::StatusOr<std::vector<YamlNode>> documents = ReadYaml(text);
  if (!documents.ok()) return std::string(documents.status().message());
  if (documents->empty()) return "none";
  const absl::StatusOr<Json> json = YamlToJson(documents->front());
  return json.ok() ? ToText(*json) : std::string(json.status().message());
}

TEST(YamlReaderTest, TypesAreThoseThatKubectlSees) {
  EXPECT_EQ(Read("[a, 'true', \"1\", true, Yes, OFF, n, ~, null, '']"),
            R"(["a","true","1",true,true,false,false,null,null,""])");
  EXPECT_EQ(Read("[1, -7, +3, 0644, 0o17, 0x1F, 0b11, 1_000, 18446744073709551615]"),
            R"([1,-7,3,420,15,31,3,1000,18446744073709551615])");
  EXPECT_EQ(Read("[1.5, -.5, 2., 1e3, 1.2.3, 10.0.0.1, 1e999, 08, -, 100m, tRUE, !!str 5]"),
            R"([1.5,-0.5,2.0,1000.0,"1.2.3","10.0.0.1","1e999",8.0,"-","100m","tRUE","5"])");
}

TEST(YamlReaderTest, AnchorsAliasesAndMergeKeys) {
  EXPECT_EQ(Read("a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: *x\n  c: 3\n"),
            R"({"a":{"b":1,"c":2},"d":{"b":1,"c":2},"e":{"c":3,"b":1}})");
  EXPECT_EQ(Read("a:\n  <<: [{b: 1}, {b: 2, c: 3}]\n"), R"({"a":{"b":1,"c":3}})");
  EXPECT_THAT(Read("<<: 1"), HasSubstr("merges maps"));
}

TEST(YamlReaderTest, AMapOfManyKeysIsReadInTime) {
  std::string text = "a: {z: 1}\n";
  for (int i = 0; i < 100000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const absl::StatusOr<std::vector<YamlNode>> documents = ReadYaml(text);
  ASSERT_THAT(documents, IsOk());
  const absl::StatusOr<Json> json = YamlToJson(documents->front());
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ(json->size(), 100001u);
}

TEST(YamlReaderTest, RefusesWhatWouldBeSomethingElse) {
  EXPECT_THAT(Read("a: 1\na: 2\n"), HasSubstr("line 2: the key \"a\" appears twice"));
  EXPECT_THAT(Read("? [a]\n: 1\n"), HasSubstr("no scalar"));
  EXPECT_THAT(Read("!!binary aGVsbG8="), HasSubstr("tag"));
  EXPECT_THAT(Read("a: *b\n"), HasSubstr("line 1"));
  EXPECT_THAT(Read("a: [1\n"), HasSubstr("line"));
}

TEST(YamlReaderTest, RefusesWhatBeginsNoDocument) {
  EXPECT_EQ(Read(","), "line 1: neither a value nor the end of the document");
  EXPECT_EQ(Read("a: 1\n---\n, b\n"), "line 3: neither a value nor the end of the document");
  EXPECT_THAT(ReadYaml("---\n---\n...\n...\n---\n"), IsOk());
}

// The parser takes them; a change of the first would take a part of the second with it.
TEST(YamlReaderTest, RefusesDocumentsWithinOneLine) {
  EXPECT_EQ(Read("{a: 1}b"),
            "line 1: the next document begins where one ends; put --- between them");
  EXPECT_EQ(Read("---\n{a:\n  1} {b: 1}\n"),
            "line 3: the next document begins where one ends; put --- between them");
  EXPECT_THAT(ReadYaml("{a: 1}\n{b: 1}\n  {c: 1}\n--- {d: 1}\n"), IsOk());
}

TEST(YamlReaderTest, RefusesWhatGrowsBeyondMeasure) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 1; j < 10; ++j) bomb += ", " + last;
    bomb += "]\n";
  }
  EXPECT_THAT(Read(bomb), HasSubstr("too many values"));
  EXPECT_THAT(Read(std::string(100, '[') + std::string(100, ']')), HasSubstr("too deep"));
  EXPECT_THAT(Read(std::string(100000, '[')), HasSubstr("line 1"));
}

TEST(YamlReaderTest, KnowsItsPlaces) {
  const auto documents = ReadYaml("---\n# a\na:\n- b: 1\n  c: 2\n---\n---\n{d: 3}\n");
  ASSERT_THAT(documents, IsOk());
  ASSERT_THAT(*documents, SizeIs(3));
  const YamlNode& map = documents->front();
  EXPECT_EQ(map.line, 2);
  EXPECT_EQ(map.children[1].line, 3);
  EXPECT_EQ(map.children[1].column, 0);
  EXPECT_EQ(map.children[1].children[0].column, 2);
  EXPECT_TRUE(documents->back().flow);
}

TEST(YamlReaderTest, WhatIsWrittenReadsTheSame) {
  const std::string json =
      R"json({"a":["yes","1","0x1","-1","--x=1","a b","a: b","x:","# no","{\"j\":1}","it's","l\nl"],)json"
      R"json("b":{},"c":[],"d":[[1,[2]],{"e":{"f":"$(X)"}}],"true":"-","y":"*z","n":null,"t":true,)json"
      R"json("f":1.5,"s":["","~","é","\t",7]})json";
  const absl::StatusOr<Json> value = ParseJson(json, 10000);
  ASSERT_THAT(value, IsOk());
  EXPECT_EQ(Read(WriteYaml(*value)), ToText(*value)) << WriteYaml(*value);
}

TEST(YamlReaderTest, PlainIsWhatNobodyTakesForSomethingElse) {
  for (const char* text : {"byrnie-proxy", "--log_level=info", "/healthz/ready", "status.podIPs",
                           "--x=$(A),b", "spiffe://a/b"}) {
    EXPECT_TRUE(IsPlainYamlString(text)) << text;
  }
  for (const char* text :
       {"",     "true", "Y",    "null", "1",  "0644", ".5", "-",  "---",   "- a",
        "a: b", "a:",   "a #b", "*a",   "&a", "!a",   "{",  "\"", "1.2.3", "\xC3\xA9"}) {
    EXPECT_FALSE(IsPlainYamlString(text)) << text;
  }
}

}  // namespace
}  // namespace byrnie
