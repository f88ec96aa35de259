#include "controlplane/server/health_service.h"

#include <memory>
#include <string>

#include "common/base/testing/fake_clock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Response = HealthService::Response;

class HealthServiceTest : public ::testing::Test {
 protected:
  HealthServiceTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = grpc::health::v1::Health::NewStub(server_->InProcessChannel({}));
  }
  ~HealthServiceTest() override { Stop(); }

  void Stop() {
    service_.End();
    server_->Shutdown();
    server_->Wait();
  }

  static HealthService::Request Named(const std::string& service) {
    HealthService::Request request;
    request.set_service(service);
    return request;
  }
  grpc::Status Check(const std::string& service, Response::ServingStatus* status) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status checked = stub_->Check(&context, Named(service), &response);
    *status = response.status();
    return checked;
  }

  FakeClock clock_;
  Logger logger_{-1, Logger::Format::kJson, LogLevel::kError};
  MetricRegistry metrics_;
  StrangerStreams strangers_{&clock_, &logger_, &metrics_};
  HealthService service_{&strangers_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

TEST_F(HealthServiceTest, KnowsTheServerAndWhatItIsTold) {
  Response::ServingStatus status;
  ASSERT_TRUE(Check("", &status).ok());
  EXPECT_EQ(status, Response::SERVING);
  EXPECT_EQ(Check("a.B", &status).error_code(), grpc::StatusCode::NOT_FOUND);
  service_.SetServing("a.B", false);
  ASSERT_TRUE(Check("a.B", &status).ok());
  EXPECT_EQ(status, Response::NOT_SERVING);
  ASSERT_TRUE(Check("", &status).ok());
  EXPECT_EQ(status, Response::SERVING);
}

TEST_F(HealthServiceTest, AWatchIsToldOfItsServiceUntilTheEnd) {
  grpc::ClientContext context;
  auto watch = stub_->Watch(&context, Named("a.B"));
  Response response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVICE_UNKNOWN);
  service_.SetServing("c.D", true);
  service_.SetServing("a.B", true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVING);
  service_.SetServing("a.B", true);  // Nothing new.
  service_.SetServing("a.B", false);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::NOT_SERVING);
  service_.SetServing("a.B", true);
  ASSERT_TRUE(watch->Read(&response));
  service_.End();
  service_.SetServing("a.B", true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  Response::ServingStatus status;
  ASSERT_TRUE(Check("a.B", &status).ok());
  EXPECT_EQ(status, Response::NOT_SERVING);
}

TEST_F(HealthServiceTest, KeepsNothingOfARequestForAServiceThatCannotBe) {
  const std::string name(HealthService::kMaxNameBytes + 1, 'a');
  grpc::ClientContext context;
  auto watch = stub_->Watch(&context, Named(name));
  Response response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVICE_UNKNOWN);
  service_.SetServing(name, true);
  service_.End();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  Response::ServingStatus status;
  EXPECT_LT(Check(std::string(8000, 'a'), &status).error_message().size(), 1000u);
}

TEST(HealthServiceNameTest, IsTakenOutOfTheRequest) {
  HealthService::Request request;
  const size_t empty = request.SpaceUsedLong();
  request.set_service(std::string(HealthService::kMaxNameBytes, 'a'));
  EXPECT_EQ(HealthService::TakeName(&request), std::string(HealthService::kMaxNameBytes, 'a'));
  EXPECT_EQ(request.SpaceUsedLong(), empty);
  request.set_service(std::string(4'000'000, 'a'));
  EXPECT_EQ(HealthService::TakeName(&request), absl::nullopt);
  EXPECT_EQ(request.SpaceUsedLong(), empty);
  // A field that the message does not have, of number 15.
  ASSERT_TRUE(
      request.ParseFromString("\x7a\x05"
                              "12345"));
  EXPECT_EQ(HealthService::TakeName(&request), "");
  EXPECT_EQ(request.SpaceUsedLong(), empty);
}

}  // namespace
}  // namespace byrnie
