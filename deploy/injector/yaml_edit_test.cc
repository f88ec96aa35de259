#include "deploy/injector/yaml_edit.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "deploy/injector/json.h"
#include "deploy/injector/yaml_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

// A document that is a map by {}, of one line.
YamlNode OneLine(int line) {
  YamlNode root;
  root.kind = YamlNode::Kind::kMap;
  root.line = line;
  root.flow = true;
  return root;
}

// As many as a manifest may have, which jq writes below each other: in the time of a test.
TEST(YamlLinesTest, ManyDocumentsAreWrittenInTime) {
  constexpr int kDocuments = 200000;
  std::string before, after;
  for (int i = 0; i < kDocuments; ++i) absl::StrAppend(&before, "{}\n");
  YamlLines lines(before);
  Json to = Json::object();
  for (int i = 0; i < kDocuments; ++i) {
    const YamlNode next = OneLine(i + 1);
    to["number"] = i;
    lines.Rewrite(OneLine(i), i + 1 < kDocuments ? &next : nullptr, to);
    absl::StrAppend(&after, "{\n  \"number\": ", i, "\n}\n");
  }
  EXPECT_TRUE(lines.Text() == after);
}

TEST(YamlLinesTest, TheLastLineIsEndedWhereSomethingComesBehindIt) {
  YamlLines lines("a: 1");
  YamlNode root;
  root.kind = YamlNode::Kind::kMap;
  root.children.resize(2);
  root.children[0].text = "a";
  Json from = Json::object(), to = Json::object();
  from["a"] = 1;
  to["a"] = 1;
  to["b"] = 2;
  ASSERT_TRUE(lines.Change(root, from, to));
  EXPECT_THAT(lines.Text(), StartsWith("a: 1\nb:"));
  EXPECT_THAT(lines.Text(), EndsWith("\n"));
}

}  // namespace
}  // namespace byrnie
