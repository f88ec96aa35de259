#include "common/http/http_response_parser.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using State = HttpResponseParser::State;

struct Parsed {
  State state = State::kNeedMore;
  std::string body;
  std::string rest;
};

// Gives `bytes` in pieces of `step`.
Parsed Parse(HttpResponseParser* parser, absl::string_view bytes, size_t step) {
  Parsed parsed;
  std::string input;
  while (!bytes.empty()) {
    absl::StrAppend(&input, bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
    const HttpResponseParser::Result result = parser->Feed(input);
    input.erase(0, result.consumed);
    parsed.body += parser->TakeBody();
    parsed.state = result.state;
    if (result.state != State::kNeedMore) break;
  }
  parsed.rest = absl::StrCat(input, bytes);
  return parsed;
}

class HttpResponseParserTest : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Steps, HttpResponseParserTest, ::testing::Values(1, 7, 100000));

TEST_P(HttpResponseParserTest, ReadsABodyOfKnownLength) {
  HttpResponseParser parser;
  const Parsed parsed = Parse(&parser,
                              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                              "Content-Length: 5\r\n\r\nhelloHTTP",
                              GetParam());
  EXPECT_EQ(parsed.state, State::kComplete);
  EXPECT_EQ(parsed.body, "hello");
  EXPECT_EQ(parsed.rest, "HTTP");
  ASSERT_NE(parser.head(), nullptr);
  EXPECT_EQ(parser.head()->status, 200);
  EXPECT_EQ(parser.head()->content_type, "application/json");
  EXPECT_TRUE(parser.head()->keep_alive);
}

TEST_P(HttpResponseParserTest, ReadsChunks) {
  HttpResponseParser parser;
  const Parsed parsed = Parse(&parser,
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
                              GetParam());
  EXPECT_EQ(parsed.state, State::kComplete);
  EXPECT_EQ(parsed.body, "hello world");
  EXPECT_EQ(parsed.rest, "");
}

TEST_P(HttpResponseParserTest, PassesOverInterimResponses) {
  HttpResponseParser parser;
  const Parsed parsed = Parse(&parser,
                              "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                              "HTTP/1.1 204 No Content\r\n\r\n",
                              GetParam());
  EXPECT_EQ(parsed.state, State::kComplete);
  EXPECT_EQ(parser.head()->status, 204);
}

TEST_P(HttpResponseParserTest, TakesTheEndOfTheConnectionForTheEndOfABodyWithoutLength) {
  HttpResponseParser parser;
  const Parsed parsed = Parse(&parser, "HTTP/1.1 200 OK\r\n\r\nall of it", GetParam());
  EXPECT_EQ(parsed.state, State::kNeedMore);
  EXPECT_EQ(parsed.body, "all of it");
  EXPECT_FALSE(parser.head()->keep_alive);
  EXPECT_EQ(parser.FeedEnd(), State::kComplete);
}

TEST_P(HttpResponseParserTest, SaysThatABodyWasCutOff) {
  for (const char* text : {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                           "HTTP/1.1 200 OK\r\nContent-"}) {
    HttpResponseParser parser;
    EXPECT_EQ(Parse(&parser, text, GetParam()).state, State::kNeedMore);
    EXPECT_EQ(parser.FeedEnd(), State::kError) << text;
    EXPECT_THAT(parser.error(), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_P(HttpResponseParserTest, RefusesWhatIsNoHttp) {
  HttpResponseParser parser;
  EXPECT_EQ(Parse(&parser, "SSH-2.0-OpenSSH_9.2\r\n\r\n", GetParam()).state, State::kError);
  EXPECT_THAT(parser.error(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(HttpResponseParserTest, RefusesAHeadWithoutEnd) {
  HttpResponseParser parser;
  const std::string text =
      absl::StrCat("HTTP/1.1 200 OK\r\nX: ", std::string(HttpResponseParser::kMaxHeaderSize, 'x'));
  EXPECT_EQ(Parse(&parser, text, std::max<size_t>(GetParam(), 1000)).state, State::kError);
}

TEST(HttpResponseParserTest, ReadsRetryAfterInSeconds) {
  const auto retry_after = [](absl::string_view value) {
    HttpResponseParser parser;
    Parse(&parser,
          absl::StrCat("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: ",
                       value, "\r\n\r\n"),
          1000);
    return parser.head()->retry_after;
  };
  EXPECT_EQ(retry_after("7"), absl::Seconds(7));
  EXPECT_EQ(retry_after("99999999"), absl::Hours(1));
  EXPECT_EQ(retry_after("-1"), absl::nullopt);
  EXPECT_EQ(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), absl::nullopt);
}

TEST(HttpResponseParserTest, MakesNoRoomForWhatIsOnlyPromised) {
  HttpResponseParser parser;
  const Parsed parsed =
      Parse(&parser, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nhello", 1000);
  EXPECT_EQ(parsed.state, State::kNeedMore);
  EXPECT_EQ(parsed.body, "hello");
}

}  // namespace
}  // namespace byrnie
