#include "common/crypto/pem.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<std::string>> Parse(absl::string_view pem) {
  return ParsePem(pem, "THING", "thing", 4096);
}

TEST(PemTest, ReadsWhatItWrites) {
  const std::string one(200, '\x01'), two("\0\xff", 2);
  EXPECT_THAT(*Parse(absl::StrCat("\r\n ", ToPem(one, "THING"), "\n", ToPem(two, "THING"))),
              ElementsAre(one, two));
}

TEST(PemTest, PassesOverTextAroundBlocks) {
  const std::string one = ToPem("one", "THING"), two = ToPem("two", "THING");
  const std::string text = "Bag Attributes\n    localKeyID: 01 --- 02\nThing:\n  Data: -----\n";
  EXPECT_THAT(*Parse(absl::StrCat(text, one, text, two, text)), ElementsAre("one", "two"));
  EXPECT_THAT(*Parse(absl::StrCat("\xEF\xBB\xBF", one)), ElementsAre("one"));
  const std::string dos = absl::StrReplaceAll(absl::StrCat(text, one, text, two), {{"\n", "\r\n"}});
  EXPECT_THAT(*Parse(dos), ElementsAre("one", "two"));
  // As cat makes it of files without an end of the last line.
  EXPECT_THAT(*Parse(absl::StrCat(absl::StripSuffix(one, "\n"), two)), ElementsAre("one", "two"));
}

TEST(PemTest, RefusesAnythingElse) {
  const std::string good = ToPem("der", "THING");
  const auto invalid = [](absl::string_view why) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why)));
  };
  EXPECT_THAT(Parse(""), invalid("without a thing"));
  EXPECT_THAT(Parse("garbage"), invalid("without a thing"));
  EXPECT_THAT(Parse("text\n-----BEGIN THING\n"), invalid("where thing 1 should begin"));
  // One whose first line is damaged would be missing without anybody's knowing.
  EXPECT_THAT(Parse(good + good.substr(1)), invalid("an end line without a beginning"));
  EXPECT_THAT(Parse("x" + good), invalid("where thing 1 should begin"));
  EXPECT_THAT(Parse(good + "text\n" + ToPem("der", "OTHER")), invalid("-----BEGIN OTHER-----"));
  EXPECT_THAT(Parse(good.substr(0, good.size() - 4)), invalid("no end line"));
  EXPECT_THAT(Parse("-----BEGIN THING-----\n!!\n-----END THING-----\n"), invalid("base64"));
  EXPECT_THAT(Parse(std::string(5000, ' ')), invalid("at most 4096"));
}

}  // namespace
}  // namespace byrnie
