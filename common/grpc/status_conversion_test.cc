#include "common/grpc/status_conversion.h"

#include <string>

#include "common/base/retry_after.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

grpc::Status WithRetryDelay(int64_t seconds, int32_t nanos) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  info.mutable_retry_delay()->set_nanos(nanos);
  google::rpc::Status details;
  // Servers send other details, too.
  details.add_details()->PackFrom(google::rpc::Status());
  details.add_details()->PackFrom(info);
  return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy", details.SerializeAsString());
}

TEST(StatusConversionTest, KeepsCodeAndMessageBothWays) {
  const absl::Status status =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who are you"));
  EXPECT_EQ(status, absl::UnauthenticatedError("who are you"));
  EXPECT_EQ(ToGrpcStatus(status).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ToGrpcStatus(status).error_message(), "who are you");
  EXPECT_TRUE(ToGrpcStatus(status).error_details().empty());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(StatusConversionTest, ReadsWhenToTryAgainAmongOtherDetails) {
  EXPECT_EQ(RetryAfter(FromGrpcStatus(WithRetryDelay(7, 500000000))), absl::Milliseconds(7500));
}

TEST(StatusConversionTest, GivesWhenToTryAgainBack) {
  absl::Status status = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&status, absl::Milliseconds(61250));
  EXPECT_EQ(RetryAfter(FromGrpcStatus(ToGrpcStatus(status))), absl::Milliseconds(61250));
}

TEST(StatusConversionTest, IgnoresTimesBeforeNowAndDetailsThatDoNotParse) {
  EXPECT_EQ(RetryAfter(FromGrpcStatus(WithRetryDelay(-1, 0))), absl::nullopt);
  EXPECT_EQ(RetryAfter(FromGrpcStatus(
                grpc::Status(grpc::StatusCode::UNAVAILABLE, "x", std::string("\xff\xff\xff")))),
            absl::nullopt);
}

TEST(StatusConversionTest, TakesADayForForEver) {
  EXPECT_EQ(RetryAfter(FromGrpcStatus(WithRetryDelay(1000000000, 0))), absl::Hours(24));
}

}  // namespace
}  // namespace byrnie
