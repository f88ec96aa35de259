#include "common/probe/grpc_health.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

std::string Framed(const std::string& message) {
  return std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + message;
}

TEST(GrpcHealthTest, AsksForAService) {
  EXPECT_EQ(GrpcHealthRequest(""), Framed(""));
  EXPECT_EQ(GrpcHealthRequest("shop.Cart"), Framed("\x0a\x09shop.Cart"));
  const std::string long_name(300, 's');
  EXPECT_EQ(GrpcHealthRequest(long_name),
            absl::StrCat(std::string("\0\0\0\x01\x2f\x0a\xac\x02", 8), long_name));
}

TEST(GrpcHealthTest, SaysWhatTheServerSays) {
  EXPECT_THAT(CheckGrpcHealthResponse(Framed("\x08\x01")), IsOk());
  for (const auto& [message, word] :
       {std::make_pair(std::string(), "it is UNKNOWN"),
        std::make_pair(std::string("\x08\x02"), "NOT_SERVING"),
        std::make_pair(std::string("\x08\x03"), "SERVICE_UNKNOWN"),
        std::make_pair(std::string("\x08\x09"), "it is 9"),
        std::make_pair(std::string("\x08\x01\x08\x02"), "NOT_SERVING")}) {
    EXPECT_THAT(CheckGrpcHealthResponse(Framed(message)),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(word)));
  }
}

TEST(GrpcHealthTest, PassesOverWhatItDoesNotKnow) {
  EXPECT_THAT(CheckGrpcHealthResponse(Framed("\x12\x02xy\x1d"
                                             "abcd\x21"
                                             "abcdefgh\x28\x80\x01\x08\x01")),
              IsOk());
}

TEST(GrpcHealthTest, RefusesWhatIsNoAnswer) {
  const std::string good = Framed("\x08\x01");
  std::string compressed = good;
  compressed[0] = '\1';
  for (const std::string& body :
       {std::string(), good.substr(0, 4), good.substr(0, 6), good + "x", good + good, compressed,
        Framed("\x08"), Framed("\x08\x80"), Framed("\x12\x05xy"), Framed(std::string("\0\1", 2)),
        Framed("\x0b"), Framed("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}) {
    EXPECT_THAT(CheckGrpcHealthResponse(body), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace byrnie
