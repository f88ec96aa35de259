#include "common/grpc/status_conversion.h"

#include <string>

#include "absl/strings/cord.h"
#include "common/base/retry_after.h"
#include "common/grpc/error_details.h"
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

TEST(StatusConversionTest, CarriesDetailsToWhoAsksForThem) {
  absl::Status status = InvalidField("page_size", "is -1; give 0 to 1000");
  SetRetryAfter(&status, absl::Seconds(1));
  const grpc::Status sent = ToGrpcStatus(status);
  EXPECT_EQ(sent.error_message(), "page_size: is -1; give 0 to 1000");
  absl::Status received = FromGrpcStatus(sent);
  google::rpc::BadRequest detail;
  EXPECT_FALSE(GetDetail(received, &detail));
  AddDetails(sent, &received);
  ASSERT_TRUE(GetDetail(received, &detail));
  ASSERT_EQ(detail.field_violations_size(), 1);
  EXPECT_EQ(detail.field_violations(0).field(), "page_size");
  EXPECT_EQ(detail.field_violations(0).description(), "is -1; give 0 to 1000");
  EXPECT_EQ(RetryAfter(received), absl::Seconds(1));
  google::rpc::ResourceInfo other;
  EXPECT_FALSE(GetDetail(received, &other));
}

TEST(StatusConversionTest, KeepsAPayloadOfTheProcessToItself) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("byrnie/something", absl::Cord("y"));
  EXPECT_TRUE(ToGrpcStatus(status).error_details().empty());
}

TEST(StatusConversionTest, NamesTheResourceAndThePrecondition) {
  google::rpc::ResourceInfo resource;
  const absl::Status missing = ResourceNotFound("policy", "demo/x", "there is no policy demo/x");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(GetDetail(missing, &resource));
  EXPECT_EQ(resource.resource_type(), "policy");
  EXPECT_EQ(resource.resource_name(), "demo/x");
  google::rpc::PreconditionFailure precondition;
  const absl::Status failed = PreconditionFailed("CONFLICT", "demo/x", "is in the file");
  EXPECT_EQ(failed.code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(GetDetail(failed, &precondition));
  EXPECT_EQ(precondition.violations(0).type(), "CONFLICT");
  EXPECT_EQ(precondition.violations(0).subject(), "demo/x");
}

TEST(StatusConversionTest, TakesADayForForEver) {
  EXPECT_EQ(RetryAfter(FromGrpcStatus(WithRetryDelay(1000000000, 0))), absl::Hours(24));
}

}  // namespace
}  // namespace byrnie
