#include "common/crypto/pem.h"

#include "absl/strings/str_cat.h"
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

TEST(PemTest, RefusesAnythingElse) {
  const std::string good = ToPem("der", "THING");
  const auto invalid = [](absl::string_view why) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why)));
  };
  EXPECT_THAT(Parse(""), invalid("without a thing"));
  EXPECT_THAT(Parse("garbage"), invalid("where thing 1 should begin"));
  EXPECT_THAT(Parse(good + "garbage"), invalid("where thing 2 should begin"));
  EXPECT_THAT(Parse(good + ToPem("der", "OTHER")), invalid("-----BEGIN OTHER-----"));
  EXPECT_THAT(Parse(good.substr(0, good.size() - 4)), invalid("no end line"));
  EXPECT_THAT(Parse("-----BEGIN THING-----\n!!\n-----END THING-----\n"), invalid("base64"));
  EXPECT_THAT(Parse(std::string(5000, ' ')), invalid("at most 4096"));
}

}  // namespace
}  // namespace byrnie
