// The operator's API at a real gRPC server: who may, and what they are told.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/status_matchers.h"
#include "controlplane/testing/grpc_services.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::CreateJoinTokenRequest;
using byrnie::operator_::v1::CreateJoinTokenResponse;
using byrnie::operator_::v1::GetStatusResponse;
using byrnie::operator_::v1::Operator;
using ::testing::HasSubstr;

class GrpcOperatorTest : public GrpcServices {};

TEST_F(GrpcOperatorTest, OnlyTheOperatorsTokenOpensTheOperatorApi) {
  auto stub = Operator::NewStub(*Channel());
  for (const std::string& token :
       {std::string(), std::string("wrong"), std::string(kOperatorToken)}) {
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    CreateJoinTokenRequest request;
    request.set_spiffe_id(kId);
    CreateJoinTokenResponse response;
    const grpc::Status status = stub->CreateJoinToken(&context, request, &response);
    EXPECT_EQ(status.ok(), token == kOperatorToken) << status.error_message();
    EXPECT_EQ(response.token().empty(), token != kOperatorToken);
  }
}

TEST_F(GrpcOperatorTest, AnOperatorsCertificateHasItsRoleAndAnotherOneHasNone) {
  const auto status_of = [&](absl::string_view id) {
    grpc::ClientContext context;
    GetStatusResponse response;
    const grpc::Status status =
        Operator::NewStub(*Channel(Client(id)))->GetStatus(&context, {}, &response);
    EXPECT_EQ(response.caller(), status.ok() ? id : "");
    return status.error_code();
  };
  EXPECT_EQ(status_of(kOperatorId), grpc::StatusCode::OK);
  EXPECT_EQ(status_of(kId), grpc::StatusCode::PERMISSION_DENIED);
  grpc::ClientContext context;
  byrnie::operator_::v1::CreateOperatorTokenRequest request;
  byrnie::operator_::v1::CreateOperatorTokenResponse response;
  EXPECT_EQ(Operator::NewStub(*Channel(Client(kOperatorId)))
                ->CreateOperatorToken(&context, request, &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

// A wrong token is not made good by a certificate: whoever gives one means it.
TEST_F(GrpcOperatorTest, ATokenThatIsGivenCounts) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer wrong");
  GetStatusResponse response;
  EXPECT_EQ(Operator::NewStub(*Channel(Client(kOperatorId)))
                ->GetStatus(&context, {}, &response)
                .error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcOperatorTest, EventsAreSentAsTheyComeUntilTheTokenEnds) {
  const std::string token(
      operators_->Create("bob", Role::kViewer, absl::Hours(1), "me")->secret.view());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  byrnie::operator_::v1::WatchEventsRequest request;
  request.set_follow(true);
  auto stream = Operator::NewStub(*Channel())->WatchEvents(&context, request);
  events_.Add(EventKind::kPolicyChanged, "demo/x", "applied", "bob");
  byrnie::operator_::v1::WatchEventsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().subject(), "demo/x");
  operator_->EndInvalidStreams();
  events_.Add(EventKind::kPolicyChanged, "demo/y", "applied", "bob");
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().subject(), "demo/y");
  ASSERT_THAT(operators_->Revoke("bob"), IsOk());
  operator_->EndInvalidStreams();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

// The library has few threads, and a stranger's made-up token is not worth one of them.
TEST_F(GrpcOperatorTest, StrangersWhoWatchEventsKeepNobodyWaitingWhileTheStoreIsSlow) {
  store_.HoldReads();
  const auto channel = *Channel();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<byrnie::operator_::v1::WatchEventsResponse>>>
      streams;
  for (int i = 0; i < 40; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    contexts.back()->AddMetadata("authorization", "Bearer made-up");
    streams.push_back(Operator::NewStub(channel)->WatchEvents(contexts.back().get(), {}));
  }
  store_.AwaitHeldRead();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::health::v1::HealthCheckResponse healthy;
  const grpc::Status answered =
      grpc::health::v1::Health::NewStub(*Channel())->Check(&context, {}, &healthy);
  grpc::ClientContext operators;
  operators.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  operators.AddMetadata("authorization", absl::StrCat("Bearer ", kOperatorToken));
  auto watch = Operator::NewStub(*Channel())->WatchEvents(&operators, {});
  byrnie::operator_::v1::WatchEventsResponse event;
  while (watch->Read(&event)) {
  }
  const grpc::Status watched = watch->Finish();
  store_.LetReadsGo();
  EXPECT_TRUE(answered.ok()) << answered.error_message();
  EXPECT_TRUE(watched.ok()) << watched.error_message();
  for (auto& stream : streams) EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(GrpcOperatorTest, OneCallerHasSoManyStreamsOfEvents) {
  const auto channel = *Channel();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<byrnie::operator_::v1::WatchEventsResponse>>>
      streams;
  byrnie::operator_::v1::WatchEventsRequest request;
  request.set_follow(true);
  const auto watch = [&] {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    contexts.back()->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    contexts.back()->AddMetadata("authorization", absl::StrCat("Bearer ", kOperatorToken));
    streams.push_back(Operator::NewStub(channel)->WatchEvents(contexts.back().get(), request));
  };
  events_.Add(EventKind::kPolicyChanged, "demo/x", "applied", "bob");
  byrnie::operator_::v1::WatchEventsResponse response;
  for (size_t i = 0; i < OperatorService::kMaxStreamsOfOne; ++i) {
    watch();
    EXPECT_TRUE(streams.back()->Read(&response));
  }
  watch();
  EXPECT_FALSE(streams.back()->Read(&response));
  const grpc::Status refused = streams.back()->Finish();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr(OperatorDirectory::kFirstToken));
  EXPECT_THAT(refused.error_details(), HasSubstr("google.rpc.RetryInfo"));
}

TEST_F(GrpcOperatorTest, ErrorsOfTheOperatorApiSayForProgramsWhatIsWrong) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kOperatorToken));
  byrnie::operator_::v1::ListWorkloadsRequest request;
  request.set_page_size(-1);
  byrnie::operator_::v1::ListWorkloadsResponse response;
  const grpc::Status status =
      Operator::NewStub(*Channel())->ListWorkloads(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.BadRequest"));
}

}  // namespace
}  // namespace byrnie
