#include "controlplane/policy/known_texts.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

TEST(KnownTextsTest, EachIsThereOnceAndInOrder) {
  const KnownTexts texts({"b", "a", "b"});
  EXPECT_THAT(std::vector<std::string>(texts.begin(), texts.end()), ElementsAre("a", "b"));
  EXPECT_EQ(texts.size(), 2u);
  EXPECT_FALSE(texts.empty());
}

TEST(KnownTextsTest, OfNothingNothingIsKnown) {
  const KnownTexts texts;
  EXPECT_TRUE(texts.empty());
  EXPECT_FALSE(texts.Has(""));
  EXPECT_FALSE(texts.AnyStartsWith(""));
  EXPECT_FALSE(texts.AnyEndsWith(""));
}

TEST(KnownTextsTest, SaysWhatComparingWithAllSays) {
  std::mt19937 random(5);
  const auto word = [&random] {
    std::string text(random() % 5, ' ');
    for (char& c : text) c = "ab\xff"[random() % 3];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> all(random() % 12);
    for (std::string& text : all) text = word();
    const KnownTexts texts(all);
    for (int i = 0; i < 50; ++i) {
      const std::string part = word();
      EXPECT_EQ(texts.Has(part), std::count(all.begin(), all.end(), part) > 0) << part;
      EXPECT_EQ(texts.AnyStartsWith(part),
                std::any_of(all.begin(), all.end(),
                            [&part](const auto& text) { return absl::StartsWith(text, part); }))
          << part;
      EXPECT_EQ(texts.AnyEndsWith(part),
                std::any_of(all.begin(), all.end(),
                            [&part](const auto& text) { return absl::EndsWith(text, part); }))
          << part;
    }
  }
}

}  // namespace
}  // namespace byrnie
