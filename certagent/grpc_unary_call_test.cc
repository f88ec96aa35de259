// Calls over real gRPC inside the process, ended from either side.
// What goes wrong here is found by the sanitizers: run it with --config=asan and --config=tsan too.

#include "certagent/grpc_unary_call.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace byrnie {
namespace {

using ::istio::v1::auth::IstioCertificateRequest;
using ::istio::v1::auth::IstioCertificateResponse;
using ::istio::v1::auth::IstioCertificateService;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Call = GrpcUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;

// Gives the request back; "wait" is answered by nothing but the caller's end, "later" refused.
class EchoService final : public IstioCertificateService::CallbackService {
 private:
  class Waiting final : public grpc::ServerUnaryReactor {
   public:
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };

  grpc::ServerUnaryReactor* CreateCertificate(grpc::CallbackServerContext* context,
                                              const IstioCertificateRequest* request,
                                              IstioCertificateResponse* response) override {
    if (request->csr() == "wait") return new Waiting();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->csr() == "later") {
      context->AddTrailingMetadata("retry-after", "7.5");
      reactor->Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy"));
    } else {
      response->add_cert_chain(request->csr());
      reactor->Finish(grpc::Status::OK);
    }
    return reactor;
  }
};

class GrpcUnaryCallTest : public ::testing::Test {
 protected:
  GrpcUnaryCallTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = IstioCertificateService::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~GrpcUnaryCallTest() override {
    call_.reset();
    server_->Shutdown();
  }

  void Make(Call::Done done) { call_ = std::make_unique<Call>(&loop_, std::move(done)); }
  void Make() {
    Make([this](absl::Status status, const IstioCertificateResponse& response) {
      ended_.push_back(std::move(status));
      for (const std::string& text : response.cert_chain()) answers_.push_back(text);
    });
  }
  void Start(const char* text) {
    call_->request()->set_csr(text);
    call_->Start(
        [stub = stub_](grpc::ClientContext* context, const IstioCertificateRequest* request,
                       IstioCertificateResponse* response, std::function<void(grpc::Status)> done) {
          stub->async()->CreateCertificate(context, request, response, std::move(done));
        });
  }

  ManualEventLoop loop_;
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<IstioCertificateService::Stub> stub_;
  std::vector<absl::Status> ended_;
  std::vector<std::string> answers_;
  std::unique_ptr<Call> call_;
};

TEST_F(GrpcUnaryCallTest, BringsTheAnswerToTheLoop) {
  Make();
  Start("hello");
  EXPECT_THAT(ended_, IsEmpty());
  ASSERT_TRUE(loop_.RunUntil([&] { return !ended_.empty(); }));
  EXPECT_THAT(ended_[0], IsOk());
  EXPECT_THAT(answers_, ElementsAre("hello"));
}

TEST_F(GrpcUnaryCallTest, BringsWhenToComeBackFromTheTrailer) {
  Make();
  Start("later");
  ASSERT_TRUE(loop_.RunUntil([&] { return !ended_.empty(); }));
  EXPECT_THAT(ended_[0], StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(RetryAfter(ended_[0]), absl::Milliseconds(7500));
}

TEST_F(GrpcUnaryCallTest, ReportsWhatFailedBeforeTheNetworkInALaterTurn) {
  Make();
  call_->Fail(absl::NotFoundError("no token"));
  EXPECT_THAT(ended_, IsEmpty());
  loop_.RunUntilIdle();
  EXPECT_THAT(ended_, SizeIs(1));
}

TEST_F(GrpcUnaryCallTest, IsCancelledWithItsCallbackAtAnyTime) {
  for (const char* text : {"hello", "wait", "later"}) {
    for (int turns = 0; turns < 3; ++turns) {
      Make();
      Start(text);
      for (int i = 0; i < turns; ++i) loop_.RunOnce();
      const size_t before = ended_.size();
      call_.reset();
      loop_.RunUntilIdle();
      EXPECT_EQ(ended_.size(), before) << text;
    }
  }
}

TEST_F(GrpcUnaryCallTest, MayBeDestroyedInItsCallback) {
  bool ended = false;
  Make([&](absl::Status, const IstioCertificateResponse& response) {
    call_.reset();
    // What was passed outlives it.
    ended = response.cert_chain(0) == "hello";
  });
  Start("hello");
  EXPECT_TRUE(loop_.RunUntil([&] { return ended; }));
}

}  // namespace
}  // namespace byrnie
