#include "common/telemetry/json_text.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string Escaped(absl::string_view text) {
  std::string out;
  AppendJsonEscaped(text, &out);
  return out;
}

TEST(JsonTextTest, EscapesWhatJsonReserves) {
  EXPECT_EQ(Escaped("a\"b\\c/d"), "a\\\"b\\\\c/d");
  EXPECT_EQ(Escaped("\n\r\t"), "\\n\\r\\t");
}

TEST(JsonTextTest, EscapesEveryControlCharacter) {
  EXPECT_EQ(Escaped(absl::string_view("\0\x01\x1b\x7f", 4)), "\\u0000\\u0001\\u001b\\u007f");
  EXPECT_EQ(Escaped("\xC2\x9B"
                    "31m"),
            "\\u009b31m");
  for (int c = 0; c < 0x20; ++c) {
    const std::string out = Escaped(std::string(1, static_cast<char>(c)));
    EXPECT_GE(out.size(), 2u) << c;
    EXPECT_EQ(out[0], '\\') << c;
  }
}

TEST(JsonTextTest, KeepsValidUtf8) {
  const absl::string_view text = "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x9B\xA1 \xEF\xBF\xBF";
  EXPECT_EQ(Escaped(text), text);
}

TEST(JsonTextTest, ReplacesEachByteOfInvalidUtf8) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(Escaped("a\xFF"
                    "b"),
            "a" + r + "b");
  EXPECT_EQ(Escaped("\xC0\xAF"), r + r);                  // Overlong.
  EXPECT_EQ(Escaped("\xE0\x80\x80"), r + r + r);          // Overlong.
  EXPECT_EQ(Escaped("\xED\xA0\x80"), r + r + r);          // Surrogate.
  EXPECT_EQ(Escaped("\xF4\x90\x80\x80"), r + r + r + r);  // Beyond U+10FFFF.
  EXPECT_EQ(Escaped("\xE2\x82"), r + r);                  // Cut short.
  EXPECT_EQ(Escaped("\xC3\""), r + "\\\"");               // Does not swallow the quote.
}

TEST(JsonTextTest, WritesOneFlatObject) {
  EXPECT_EQ(JsonLine().Finish(), "{}");
  EXPECT_EQ(
      JsonLine()
          .Add("s", "x\"y")
          .Add("i", int64_t{-5})
          .Add("u", std::numeric_limits<uint64_t>::max())
          .Add("b", true)
          .Add("d", 0.5)
          .Add("n", std::nan(""))
          .Finish(),
      "{\"s\":\"x\\\"y\",\"i\":-5,\"u\":18446744073709551615,\"b\":true,\"d\":0.5,\"n\":null}");
}

}  // namespace
}  // namespace byrnie
