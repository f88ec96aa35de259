#include "proxy/admin_query.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

HttpRequest Query(std::vector<std::pair<std::string, std::string>> query) {
  HttpRequest request;
  request.query = std::move(query);
  return request;
}

TEST(AdminQueryTest, NothingAskedIsEverything) {
  const absl::StatusOr<Connection::Filter> open = ParseConnectionQuery(Query({}));
  ASSERT_THAT(open, IsOk());
  EXPECT_FALSE(open->direction.has_value());
  EXPECT_EQ(open->limit, 10000u);
  const absl::StatusOr<FlightRecorder::Filter> ended = ParseRecorderQuery(Query({}));
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->limit, 1000u);
  EXPECT_EQ(ended->slow, absl::ZeroDuration());
}

TEST(AdminQueryTest, TakesEveryFilter) {
  const absl::StatusOr<Connection::Filter> open = ParseConnectionQuery(
      Query({{"direction", "inbound"}, {"peer", "spiffe://a/b"}, {"limit", "7"}}));
  ASSERT_THAT(open, IsOk());
  EXPECT_EQ(open->direction, AccessRecord::Direction::kInbound);
  EXPECT_EQ(open->peer, "spiffe://a/b");
  EXPECT_EQ(open->limit, 7u);
  const absl::StatusOr<FlightRecorder::Filter> ended =
      ParseRecorderQuery(Query({{"direction", "outbound"},
                                {"reason", "tls-failed"},
                                {"result", "failed"},
                                {"slow", "100ms"},
                                {"limit", "1000"},
                                {"peer", "spiffe://a/b"}}));
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->direction, AccessRecord::Direction::kOutbound);
  EXPECT_EQ(ended->reason, "tls-failed");
  EXPECT_EQ(ended->result, AccessRecord::Result::kFailed);
  EXPECT_EQ(ended->slow, absl::Milliseconds(100));
  EXPECT_EQ(ended->peer, "spiffe://a/b");
}

TEST(AdminQueryTest, SaysWhatItDoesNotUnderstandAndWhatThereIs) {
  const auto bad = [](const std::string& name, const std::string& value,
                      const std::string& remedy) {
    EXPECT_THAT(ParseRecorderQuery(Query({{name, value}})),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(name + "=" + value), HasSubstr(remedy))));
  };
  bad("direction", "in", "inbound or outbound");
  bad("result", "ok", "allowed, denied or failed");
  bad("reason", "because", "no such reason");
  bad("slow", "100", "for example 100ms");
  bad("slow", "-1s", "for example 100ms");
  bad("limit", "0", "1 to 1000");
  bad("limit", "1001", "1 to 1000");
  bad("limit", "x", "1 to 1000");
  bad("colour", "red", "there are direction");
  EXPECT_THAT(ParseConnectionQuery(Query({{"reason", "closed"}})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there are direction")));
}

}  // namespace
}  // namespace byrnie
